# SPDX-License-Identifier: Apache-2.0
"""Signed headers whose ids are no texts leave the request untraced and served."""

import seen

seen.store()
for base_id in ({"a": 1}, ["a"], 7):
    with seen.unharmed("the request failed"):
        status, _ = seen.request(seen.answer, seen.headers({"base_id": base_id}))
    seen.wanted(status == "200 OK", f"answered {status}")
