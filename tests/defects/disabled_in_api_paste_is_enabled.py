# SPDX-License-Identifier: Apache-2.0
"""`enabled = False` in api-paste.ini, which comes as a text, means no."""

import seen
from osprofiler import web

notifications = seen.collect()
middleware = web.WsgiMiddleware.factory({}, hmac_keys=seen.KEY, enabled="False")(seen.answer)
list(middleware(seen.headers({"base_id": "B"}), lambda *arguments: None))
seen.wanted(notifications == [], "the text `False` enables tracing")
