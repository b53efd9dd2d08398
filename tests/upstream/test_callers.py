# SPDX-License-Identifier: Apache-2.0
"""Services, clients and tools find in our package each name that they use of upstream's, and may call it as they do.

Their files are read, not run: those installed beside our package, and those of the packages that
`scripts/requirements/callers.txt` lists, which are there without what they need.
"""

import os
import sys
import sysconfig
from pathlib import Path

import pytest
from callers import Use, paste_uses, refusal, uses

CALLERS = Path(os.environ["OSPROFILER_CALLERS_PYTHON"]).parents[1]
# Whoever imports osprofiler, by the names of their folders.
SERVICES = {"aodh", "cinder", "designate", "glance", "heat", "ironic", "keystone", "magnum", "manila", "mistral"}
SERVICES |= {"neutron", "neutron_lib", "nova", "senlin", "trove", "vitrage", "zaqar", "zun"}
CLIENTS = {"glanceclient", "keystoneauth1", "keystoneclient", "manilaclient", "mistralclient", "novaclient", "osc_lib"}
TOOLS = {"horizon", "openstack_dashboard", "rally_openstack"}
# What is used in one place or two, and ways of using: an attribute, a text, a returned object, a paste file.
RARE = {
    "osprofiler._utils.signed_unpack",
    "osprofiler.cmd.__file__",
    "osprofiler.drivers.base.get_driver",
    "osprofiler.notifier.create",
    "osprofiler.opts._PROFILER_OPTS",
    "osprofiler.profiler.TracedMeta",
    "osprofiler.profiler._Profiler",
    "osprofiler.profiler.get().get_shorten_id",
    "osprofiler.profiler.get().hmac_key",
    "osprofiler.sqlalchemy.wrap_session",
    "osprofiler.web.WsgiMiddleware.factory",
    "osprofiler.web.X_TRACE_HMAC",
}


@pytest.fixture(scope="module")
def found() -> list[Use]:
    """Return what all of them use."""
    ours, theirs = Path(sysconfig.get_path("purelib")), CALLERS / below_prefix()
    return [*uses(ours), *uses(theirs), *paste_uses(Path(sys.prefix, "etc")), *paste_uses(CALLERS / "etc")]


def below_prefix() -> Path:
    """Return where packages are in an environment of this version of Python."""
    return Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)


def test_nobody_misses_anything(found, capsys):
    files, names = {use.place for use in found}, {use.name for use in found}
    with capsys.disabled():
        print(f"\n  {len(files)} files of services, clients and tools use {len(names)} names, {len(found)} times")
    assert [told for use in found if (told := refusal(use))] == []


def test_all_who_are_known_to_use_it_were_read(found):
    """Otherwise nothing of theirs could be missed."""
    assert {use.package for use in found} >= SERVICES | CLIENTS | TOOLS
    assert {use.name for use in found} >= RARE


@pytest.mark.parametrize(
    "use",
    [
        Use("some", "some.py", "osprofiler.none"),
        Use("some", "some.py", "osprofiler.drivers.none"),
        Use("some", "some.py", "osprofiler.profiler.get().none"),
        Use("some", "some.py", "osprofiler.web.WsgiMiddleware.none"),
        Use("some", "some.py", "osprofiler.profiler.trace", 6),
        Use("some", "some.py", "osprofiler.profiler.init", 1, ("none",)),
        Use("some", "some.py", "osprofiler.profiler.init", 0, ("none",), has_more=True),
    ],
)
def test_what_is_not_there_is_missed(use):
    assert refusal(use).startswith("some.py: osprofiler.")
