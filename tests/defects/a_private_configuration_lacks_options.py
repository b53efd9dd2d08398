# SPDX-License-Identifier: Apache-2.0
"""`set_defaults` gives a configuration object all options that a driver asks for."""

import seen
from oslo_config import cfg
from osprofiler import opts

conf = cfg.ConfigOpts()
opts.set_defaults(conf)
conf([])
with seen.unharmed("an option is missing"):
    seen.wanted(conf.profiler_otlp.service_name_prefix is None, "the option has another default")
