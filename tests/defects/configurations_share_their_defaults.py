# SPDX-License-Identifier: Apache-2.0
"""What one configuration object is told to default to, no other is."""

import seen
from oslo_config import cfg
from osprofiler import opts

first, second = cfg.ConfigOpts(), cfg.ConfigOpts()
opts.set_defaults(second)
opts.set_defaults(first, enabled=True)
for conf in (first, second):
    conf([])
seen.wanted(second.profiler.enabled is False, "another configuration object is enabled, too")
