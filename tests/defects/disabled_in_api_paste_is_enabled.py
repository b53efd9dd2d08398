# SPDX-License-Identifier: Apache-2.0
"""`enabled = False` in api-paste.ini, which comes as a text, means no, whatever the service does with `[profiler]`."""

import seen
from osprofiler import web

notifications = seen.collect()
web.enable(seen.KEY)
middleware = web.WsgiMiddleware.factory({}, hmac_keys=seen.KEY, enabled="False")(seen.answer)
list(middleware(seen.headers({"base_id": "B"}), lambda *arguments: None))
seen.wanted(notifications == [], "the text `False` enables tracing")
