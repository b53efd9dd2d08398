# SPDX-License-Identifier: Apache-2.0
"""No log line shows the password of a connection string, whether its driver can be made or not."""

import io
import logging

import seen
from osprofiler import notifier, opts

log = io.StringIO()
logging.basicConfig(stream=log, level=logging.DEBUG)
for connection_string in ("redis://:s3cret@127.0.0.1:1", "nope://user:s3cret@host"):
    notifier.create(connection_string, conf=opts.cfg.CONF)
    lines = [line for line in log.getvalue().splitlines() if "s3cret" in line]
    seen.wanted(not lines, f"the log has: {lines[:1]}")
