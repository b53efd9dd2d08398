# SPDX-License-Identifier: Apache-2.0
"""A signature that is no ASCII, which needs no key, leaves the request untraced and served."""

import seen

notifications = seen.collect()
with seen.unharmed("the request failed"):
    status, _ = seen.request(seen.answer, seen.environ("x", "\xe9"))
seen.wanted((status, notifications) == ("200 OK", []), f"answered {status}")
