# SPDX-License-Identifier: Apache-2.0
"""Frameworks of OpenStack's services take a traced function for the function: each dispatches or looks its own way."""

import concurrent.futures
import functools
import unittest

import decorator
import eventlet
import flask
import futurist
import oslo_messaging
import pytest
import sqlalchemy
import webob
import webob.dec
import wrapt
from oslo_config import cfg
from oslo_messaging.rpc import dispatcher
from oslo_utils import reflection
from osprofiler import profiler
from stevedore import extension
from taskflow import engines, task
from taskflow.patterns import linear_flow


@profiler.trace_cls("rpc")
class Endpoint:
    """What a service offers by RPC."""

    target = oslo_messaging.Target(version="1.0")

    def create(self, context, name):
        return f"created {name}"

    @oslo_messaging.expose
    def delete(self, context, name):
        return f"deleted {name}"

    def hidden(self, context):
        raise AssertionError("nobody has exposed it")


def dispatch(method, policy=dispatcher.LegacyRPCAccessPolicy, **arguments):
    """Call a method as a message from the bus does."""

    class Incoming:
        ctxt = {}  # noqa: RUF012
        message = {"method": method, "args": arguments, "version": "1.0"}  # noqa: RUF012
        client_timeout = None

    return dispatcher.RPCDispatcher([Endpoint()], None, access_policy=policy).dispatch(Incoming())


def test_rpc_dispatches_to_it(collected):
    profiler.init("key")
    assert dispatch("create", name="a volume") == "created a volume"
    deleted = dispatch("delete", policy=dispatcher.ExplicitRPCAccessPolicy, name="a volume")
    assert deleted == "deleted a volume"
    with pytest.raises(dispatcher.NoSuchMethod):
        dispatch("absent")
    with pytest.raises(dispatcher.NoSuchMethod):
        dispatch("hidden", policy=dispatcher.ExplicitRPCAccessPolicy)
    assert len(collected) == 4


@profiler.trace("x")
def add(a, b=2):
    """Add."""
    return a + b


def by_flask():
    app = flask.Flask("tests")
    app.add_url_rule("/<int:a>", "add", lambda a: str(add(a)))
    app.add_url_rule("/direct/<int:a>", "direct", profiler.trace("y")(lambda a: str(a + 2)))
    client = app.test_client()
    assert client.get("/direct/1").text == "3"
    return int(client.get("/1").text)


def by_webob():
    class Controller:
        @webob.dec.wsgify
        @profiler.trace("x")
        def __call__(self, request):
            return webob.Response(str(add(1)))

    return int(webob.Request.blank("/").get_response(Controller()).text)


def by_stevedore():
    manager = extension.ExtensionManager.make_test_instance([extension.Extension("add", None, add, None)])
    return manager.map(lambda found: found.plugin(1))[0]


def by_taskflow():
    class Adding(task.Task):
        default_provides = "sum"

        @profiler.trace("x")
        def execute(self, a, b):
            return a + b

    flow = linear_flow.Flow("flow").add(Adding())
    return engines.run(flow, store={"a": 1, "b": 2})["sum"]


def by_taskflow_functor():
    flow = linear_flow.Flow("flow").add(task.FunctorTask(add, provides="sum"))
    return engines.run(flow, store={"a": 1, "b": 2})["sum"]


def by_sqlalchemy():
    """Its events look at a listener's signature."""
    heard = []
    engine = sqlalchemy.create_engine("sqlite://")

    @sqlalchemy.event.listens_for(engine, "before_cursor_execute", named=True)
    @profiler.trace("x")
    def listen(**named):
        heard.append(named["statement"])

    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("select 1"))
    return 3 if heard == ["select 1"] else heard


def by_decorator():
    return decorator.decorate(add, lambda function, *args, **kwargs: function(*args, **kwargs))(1)


def by_wrapt():
    @wrapt.decorator
    def through(wrapped, instance, args, kwargs):
        return wrapped(*args, **kwargs)

    class Owner:
        @through
        @profiler.trace("x")
        def method(self, a):
            return a + 2

        @profiler.trace("x")
        @through
        def below(self, a):
            return a + 2

    assert Owner().below(1) == 3
    return Owner().method(1)


def by_unittest():
    class Case(unittest.TestCase):
        @profiler.trace("x")
        def test(self):
            assert add(1) == 3

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    return 3 if (result.testsRun, result.wasSuccessful()) == (1, True) else result


def by_executors():
    with concurrent.futures.ThreadPoolExecutor(1) as pool, futurist.ThreadPoolExecutor(1) as other:
        assert other.submit(add, 1).result() == 3
        return pool.submit(add, 1).result()


def by_greenthreads():
    return eventlet.spawn(add, 1).wait()


def by_single_dispatch():
    class Owner:
        @functools.singledispatchmethod
        def method(self, a):
            raise AssertionError("no int")

        @method.register
        @profiler.trace("x")
        def _(self, a: int):
            return a + 2

    return Owner().method(1)


def by_oslo_config():
    """Make it an option's type, which may be any callable."""
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.Opt("sum", type=profiler.trace("x")(lambda text: int(text) + 2), default="1"))
    conf([])
    return conf.sum


@pytest.mark.parametrize(
    "use",
    [
        by_flask,
        by_webob,
        by_stevedore,
        by_taskflow,
        by_taskflow_functor,
        by_sqlalchemy,
        by_decorator,
        by_wrapt,
        by_unittest,
        by_executors,
        by_greenthreads,
        by_single_dispatch,
        by_oslo_config,
    ],
)
@pytest.mark.parametrize("tracing", [False, True], ids=["no trace", "a trace"])
def test_a_framework_calls_it(use, tracing, collected):
    if tracing:
        profiler.init("key")
    assert use() == 3


def test_oslo_names_it_and_its_arguments():
    assert reflection.get_callable_name(add) == f"{__name__}.add"
    assert reflection.get_callable_args(add) == ["a", "b"]
    assert reflection.get_callable_name(Endpoint().create) == f"{__name__}.Endpoint.create"
    assert reflection.is_bound_method(Endpoint().create)
    assert reflection.is_same_callback(add, add)
