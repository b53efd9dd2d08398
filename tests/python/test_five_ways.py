# SPDX-License-Identifier: Apache-2.0
"""The five ways to add points, in a real service under a real uWSGI, asked with signed headers.

The service is five_ways_app.py, its `[profiler]` section what guides show, with options that other services have. Its
reports are the same however it is set up, and the same as those of the service on upstream's package, with upstream's
own store and command.
"""

import json
import os
import sys
import uuid
from pathlib import Path

import pytest
import serving
from conftest import drawn, start_info, stop_info

from demo.scenario import show
from house.process import capture
from servers.redis import Redis

UPSTREAM = os.environ["OSPROFILER_UPSTREAM_PYTHON"]
KEY = "123"

CONF = """
[profiler]
enabled = {enabled}
connection_string = {store}
hmac_keys = 123
trace_wsgi_transport = True
trace_message_store = True
trace_management_store = True
"""

PASTE = """
[pipeline:main]
pipeline = osprofiler workshop

[filter:osprofiler]
paste.filter_factory = osprofiler.web:WsgiMiddleware.factory
hmac_keys = {keys}
enabled = yes

[app:workshop]
paste.app_factory = five_ways_app:app_factory
"""

# What each path's report shows below the request's point: a point a line, with what its start and its stop carry. The
# functions' names begin with the module's.
EXPECTED = {
    "/start-stop": """
        measure | unit=letters | length=5
    """,
    "/decorator": """
        paint | colour=red function.name=paint
        weigh | function.args=('plank',) function.kwargs={} function.name=weigh | function.result={'grams': 50}
    """,
    "/with": """
        glue | minutes=5
          measure | unit=letters | length=5
    """,
    "/class": """
        shelf | function.args=(<a shelf>, 'plank') function.kwargs={'place': 3} function.name=Shelf.put
        inspection | by=hand function.name=Inspector.look
          inspection | by=hand function.name=Inspector._judge
        scales | function.args=(1,) function.kwargs={'other': 2} function.name=Scales.add | function.result=3
    """,
    "/metaclass": """
        rpc | function.args=(<a manager>, 'plank') function.kwargs={} function.name=Manager.reserve
        rpc | function.args=(<a manager>, 'plank', 'Ulm') function.kwargs={'hurry': True} function.name=Manager.deliver
          shelf | function.args=(<a shelf>, 'plank') function.kwargs={'place': 2} function.name=Shelf.put
        desk | floor=2 function.name=Clerk.write
          desk | floor=2 function.name=Clerk._sign
    """,
    "/failing": """
        drop | function.args=('cup',) function.kwargs={} function.name=drop | etype=ValueError message=the cup is broken
        sweep
        spill |  | etype=LookupError message=no rag
        sweep
    """,
    "/kinds": """
        rpc | function.name=Shop.order
          db_api | function.name=Catalogue.weight
            db | db.params=["plank"] db.statement=SELECT length(?)
          driver | function.name=Press.press
    """,
    "/all": """
        order | number=7 | price=3.5
          saw | blade=fine function.args=('plank',) function.kwargs={'times': 2} function.name=saw
            glue | minutes=5
              measure | unit=letters | length=5
          rpc | function.args=(<a manager>, 'plank', 'Ulm') function.kwargs={} function.name=Manager.deliver
            shelf | function.args=(<a shelf>, 'plank') function.kwargs={'place': 2} function.name=Shelf.put
    """,
}

# The kinds of points that a request meets, and what they are named.
KINDS = {"HTTP": "wsgi", "RPC": "rpc", "DB API": "db_api", "driver": "driver", "SQL": "db"}


def draw(node, order=list):
    """Draw what is below a node of a report as lines of an indented tree, its children in an order of theirs."""
    return [line for lines in order(_branches(node, order)) for line in lines]


def _branches(node, order):
    for child in node["children"]:
        carried = (texts(start_info(child["info"])), texts(stop_info(child["info"])))
        line = " | ".join([child["info"]["name"], *carried]).rstrip(" |")
        yield [line, *("  " + below for below in draw(child, order))]


def texts(info, prefix=""):
    """Return an info's members in one line; the host is the machine's."""
    found = []
    for name, value in sorted(info.items()):
        if isinstance(value, dict):
            found.append(texts(value, f"{prefix}{name}."))
        elif prefix + name != "host":
            found.append(f"{prefix}{name}={value if isinstance(value, str) else json.dumps(value)}")
    return " ".join(found)


def start(folder, setup, store, python, enabled="True"):
    """Start the service on an interpreter's package, forked after it was set up."""
    conf, paste = folder / "workshop.conf", folder / "api-paste.ini"
    conf.write_text(CONF.format(store=store, enabled=enabled))
    # Where the service itself has handed its key over, the middleware's own is not asked for.
    paste.write_text(PASTE.format(keys=KEY if setup == "notifier" else "another"))
    environment = {"WORKSHOP_CONF": str(conf), "WORKSHOP_PASTE": str(paste), "WORKSHOP_SETUP": setup}
    return serving.uwsgi(folder, environment, "--master", "--processes", "1", module="five_ways_app", python=python)


def reports(folder, setup, store, python, command):
    """Ask for each path of the service in a trace of its own, end the server, and return the reports by path."""
    server = start(folder, setup, store, python)
    ids = {path: str(uuid.uuid4()) for path in EXPECTED}
    try:
        for path, base_id in ids.items():
            assert server.get(path, base_id, KEY) == (200, "done"), server.output
    finally:
        server.stop()
    log = folder / "report.log"
    shown = {path: capture([command, *show("--json", base_id, store)], log) for path, base_id in ids.items()}
    return {path: json.loads(output.data) for path, output in shown.items()}


@pytest.fixture(scope="module", params=["contex", "context", "notifier"])
def ours(request, tmp_path_factory):
    """Return the reports of the service on our package, set up in each way."""
    folder = tmp_path_factory.mktemp("ours")
    return reports(folder, request.param, f"sqlite://{folder}/traces", sys.executable, os.environ["OSPROFILER_BIN"])


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Return the reports of the same service on upstream's package, in a real Redis."""
    folder = tmp_path_factory.mktemp("theirs")
    with Redis(folder / "redis") as redis:
        return reports(folder, "context", redis.url, UPSTREAM, Path(UPSTREAM).with_name("osprofiler"))


@pytest.mark.parametrize("path", EXPECTED)
def test_each_way_is_in_the_report(ours, path):
    (request,) = ours[path]["children"]
    assert [request["info"][name] for name in ("name", "project", "service")] == ["wsgi", "workshop", "workshop-api"]
    assert start_info(request["info"])["request"]["path"] == path
    assert [line.replace("=five_ways_app.", "=") for line in draw(request)] == drawn(EXPECTED[path]).splitlines()


def test_all_five_kinds_of_points_are_in_one_report(ours):
    """Each point's name is a kind, and no kind is missing."""
    counts = {name: each["count"] for name, each in ours["/kinds"]["stats"].items()}
    assert counts == dict.fromkeys(KINDS.values(), 1)


def test_upstreams_reports_show_the_same(ours, theirs, capsys):
    """But for the order of what began in the same millisecond, which upstream's leaves open."""
    for path in EXPECTED:
        assert draw(ours[path], sorted) == draw(theirs[path], sorted)
        counts = [{name: each["count"] for name, each in told[path]["stats"].items()} for told in (ours, theirs)]
        assert counts[0] == counts[1]
    with capsys.disabled():
        points = sum(each["count"] for report in ours.values() for each in report["stats"].values())
        print(f"\n  five ways and {', '.join(KINDS)}: {points} points of {len(EXPECTED)} requests, as upstream's")


@pytest.mark.parametrize(("enabled", "key"), [("False", KEY), ("True", "a stranger's")])
def test_nobody_records_who_is_not_told_to(tmp_path, enabled, key):
    """The points cost nothing and say nothing, neither without the set-up nor for who does not know the key."""
    server = start(tmp_path, "context", f"sqlite://{tmp_path}/traces", sys.executable, enabled)
    try:
        for path in EXPECTED:
            assert server.get(path, str(uuid.uuid4()), key) == server.get(path) == (200, "done")
    finally:
        server.stop()
    assert not (tmp_path / "traces").exists()
