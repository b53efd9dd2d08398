# SPDX-License-Identifier: Apache-2.0
"""The middleware's section in api-paste.ini, read by paste itself: what it says about being on, and who decides."""

import paste.deploy
import pytest
from osprofiler import web
from test_middleware import application, get, own_settings, signed

__all__ = ["own_settings"]

SERVICE = """
[composite:main]
use = egg:Paste#urlmap
/ = api

[pipeline:api]
pipeline = osprofiler application

[filter:osprofiler]
paste.filter_factory = osprofiler.web:WsgiMiddleware.factory
hmac_keys = key
{enabled}

[app:application]
paste.app_factory = test_api_paste:make_application
"""


def make_application(global_conf):
    return application


@pytest.mark.parametrize(
    ("line", "alone", "enabled", "disabled"),
    [
        # What is in the packages of Nova, Neutron, Cinder and Glance.
        ("", False, True, False),
        # What Glance's had for years.
        ("enabled = yes  #DEPRECATED", True, True, False),
        ("enabled = True", True, True, False),
        ("enabled = False", False, False, False),
        ("enabled = no", False, False, False),
        ("enabled = off  # until Monday", False, False, False),
        ("enabled = nonsense", False, True, False),
        ("enabled =", False, True, False),
    ],
)
def test_a_no_in_api_paste_holds_against_the_process(tmp_path, collected, line, alone, enabled, disabled):
    """D-15, in a file that paste itself reads, and before and after a service has read ``[profiler]``."""
    (tmp_path / "api-paste.ini").write_text(SERVICE.format(enabled=line))
    service = paste.deploy.loadapp(f"config:{tmp_path}/api-paste.ini", name="main")
    decide = {"alone": lambda: None, "enabled": lambda: web.enable("key"), "disabled": web.disable}
    traced = {}
    for name, call in decide.items():
        call()
        del collected[:]
        assert get(service, signed("B")).text == "served"
        traced[name] = bool(collected)
    assert traced == {"alone": alone, "enabled": enabled, "disabled": disabled}
