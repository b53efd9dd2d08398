# SPDX-License-Identifier: Apache-2.0
"""A workshop with the five ways in which a service's author adds points: each path of the service goes one of them.

One path more meets the five kinds of points: HTTP, RPC, DB API, driver, SQL.

In: the configuration file in WORKSHOP_CONF, the paste file in WORKSHOP_PASTE, and how the profiler is set up in
WORKSHOP_SETUP. It uses what every osprofiler has, so it runs on upstream's package, too.
"""

import logging
import os

import six
import sqlalchemy
from oslo_config import cfg
from osprofiler import initializer, notifier, opts, profiler, web
from osprofiler import sqlalchemy as traced_sqlalchemy
from paste import deploy

logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s")
CONF = cfg.ConfigOpts()
ORIGIN = {"project": "workshop", "service": "workshop-api", "host": "bench-1"}


# First way: a start and a stop, each with an info of its own.
def measure(thing):
    profiler.start("measure", {"unit": "letters"})
    length = len(thing)
    profiler.stop({"length": length})
    return length


# Second way: a decorator.
@profiler.trace("saw", info={"blade": "fine"}, hide_args=False)
def saw(*args, **kwargs):
    return glue()


@profiler.trace("paint", info={"colour": "red"}, hide_args=True)
def paint(*args, **kwargs):
    return "painted"


@profiler.trace("weigh", hide_result=False)
def weigh(thing):
    return {"grams": 10 * len(thing)}


@profiler.trace("drop")
def drop(thing):
    raise ValueError(f"the {thing} is broken")


# Third way: a block.
def glue():
    with profiler.Trace("glue", info={"minutes": 5}):
        return measure("plank")


def spill():
    with profiler.Trace("spill"):
        raise LookupError("no rag")


# Fourth way: a class's decorator.
@profiler.trace_cls("shelf", info={}, hide_args=False, trace_private=False)
class Shelf:
    """Traced with its arguments, but for what is private."""

    def __repr__(self):
        return "<a shelf>"

    def put(self, thing, place=1):
        return self._label(thing)

    def _label(self, thing):
        return thing.upper()


@profiler.trace_cls("inspection", info={"by": "hand"}, hide_args=True, trace_private=True)
class Inspector:
    """Traced without arguments, private methods, too."""

    def look(self, thing):
        return self._judge(thing)

    def _judge(self, thing):
        return "good"


@profiler.trace_cls("scales", hide_result=False, trace_static_methods=True, allow_multiple_trace=False)
class Scales:
    """Traced with its results."""

    @staticmethod
    def add(one, other):
        return one + other


# Fifth way: a metaclass.
@six.add_metaclass(profiler.TracedMeta)
class Manager:
    """Traced as its metaclass is told to."""

    __trace_args__ = {"name": "rpc", "info": None, "hide_args": False, "trace_private": False}  # noqa: RUF012

    def __repr__(self):
        return "<a manager>"

    def reserve(self, thing):
        return self._note(thing)

    def deliver(self, thing, town, gift=None, hurry=None):
        return Shelf().put(thing, place=2)

    def _note(self, thing):
        return thing


class Clerk(metaclass=profiler.TracedMeta):
    """The same, told the opposite."""

    __trace_args__ = {"name": "desk", "info": {"floor": 2}, "hide_args": True, "trace_private": True}  # noqa: RUF012

    def write(self, thing):
        return self._sign(thing)

    def _sign(self, thing):
        return thing


# From the door to the data: what a service's request meets, one below the other.
ENGINE = sqlalchemy.create_engine("sqlite://")
traced_sqlalchemy.add_tracing(sqlalchemy, ENGINE, "db")


class Shop(metaclass=profiler.TracedMeta):
    """Who is asked over RPC."""

    __trace_args__ = {"name": "rpc", "hide_args": True}  # noqa: RUF012

    def order(self, thing):
        return Press().press(thing, Catalogue().weight(thing))


@profiler.trace_cls("db_api", hide_args=True)
class Catalogue:
    """The calls that stand for statements."""

    def weight(self, thing):
        with ENGINE.connect() as connection:
            return connection.execute(sqlalchemy.text("SELECT length(:thing)"), {"thing": thing}).scalar()


@profiler.trace_cls("driver", hide_args=True)
class Press:
    """What does the work in the end."""

    def press(self, thing, weight):
        return thing[:weight]


def _start_and_stop():
    measure("plank")


def _decorator():
    paint("plank", layers=2)
    weigh("plank")


def _block():
    glue()


def _class():
    Shelf().put("plank", place=3)
    Inspector().look("plank")
    Scales.add(1, other=2)


def _metaclass():
    manager = Manager()
    manager.reserve("plank")
    manager.deliver("plank", "Ulm", hurry=True)
    Clerk().write("plank")


def _failing():
    for work in (lambda: drop("cup"), spill):
        try:
            work()
        except (ValueError, LookupError):
            profiler.start("sweep")
            profiler.stop()


def _kinds():
    Shop().order("plank")


def _all():
    profiler.start("order", {"number": 7})
    saw("plank", times=2)
    Manager().deliver("plank", "Ulm")
    profiler.stop({"price": 3.5})


WAYS = {
    "/start-stop": _start_and_stop,
    "/decorator": _decorator,
    "/with": _block,
    "/class": _class,
    "/metaclass": _metaclass,
    "/failing": _failing,
    "/kinds": _kinds,
    "/all": _all,
}


def serve(environ, start_response):
    WAYS[environ["PATH_INFO"]]()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"done"]


def app_factory(global_conf, **local_conf):
    """Return the service to paste."""
    return serve


def _from_paste():
    return deploy.loadapp(f"config:{os.environ['WORKSHOP_PASTE']}")


def _in_code():
    return web.WsgiMiddleware(serve)


def _misspelt():
    # As older guides print it.
    initializer.init_from_conf(conf=CONF, contex={}, **ORIGIN)
    return _from_paste()


def _initializer():
    initializer.init_from_conf(conf=CONF, context={}, **ORIGIN)
    return _in_code()


def _notifier():
    notifier.set(notifier.create(CONF.profiler.connection_string, context={}, conf=CONF, **ORIGIN))
    # The key and the switch are those of the paste file.
    return _from_paste()


opts.set_defaults(CONF)
CONF(["--config-file", os.environ["WORKSHOP_CONF"]], project="workshop")
SETUPS = {"contex": _misspelt, "context": _initializer, "notifier": _notifier}
application = SETUPS[os.environ["WORKSHOP_SETUP"]]() if CONF.profiler.enabled else serve
