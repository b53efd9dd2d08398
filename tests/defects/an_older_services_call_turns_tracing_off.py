# SPDX-License-Identifier: Apache-2.0
"""What trove and senlin pass to `create` by position is understood."""

import io
import logging
import os

import oslo_messaging
import seen
from oslo_config import cfg
from osprofiler import notifier

log = io.StringIO()
logging.basicConfig(stream=log, level=logging.ERROR)
transport = oslo_messaging.get_notification_transport(cfg.CONF, url="fake://")
made = notifier.create(os.environ["DEFECT_STORE"], oslo_messaging, {}, transport, "trove", "trove-api", "host-1")
last = log.getvalue().strip().splitlines()[-1:]
seen.wanted(made is not notifier._noop_notifier, f"nothing will be recorded: {last}")
driver = made.__self__
told = (driver.project, driver.service, driver.host)
seen.wanted(told == ("trove", "trove-api", "host-1"), f"the service is told as {told}")
