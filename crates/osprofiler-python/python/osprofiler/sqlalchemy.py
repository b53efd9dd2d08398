# SPDX-License-Identifier: Apache-2.0
"""Points round the statements that SQLAlchemy (1.4, 2.0, 2.1) executes, through its asyncio extension too.

In: an engine. Out: a point for each statement that reaches a cursor, or for each batch that SQLAlchemy makes of one.
A statement's execution context carries its point while that is open, so a point is closed only by the statement that
opened it, and an engine that is traced twice over makes one point a statement. It is opened last of all, where whatever
fails then is told to `handle_error`: what an application's own listener raises before that leaves none open. Nothing
here raises into a statement.

    >>> import sqlalchemy
    >>> from osprofiler import sqlalchemy as tracing
    >>> engine = sqlalchemy.create_engine("sqlite://")
    >>> tracing.add_tracing(sqlalchemy, engine, "db")
"""

import contextlib
import itertools
import logging

from osprofiler import _native, profiler
from osprofiler.profiler import _error_info, _safe_str

LOG = logging.getLogger(__name__)

_DISABLED = False
# The attribute of an execution context that holds its open point.
_POINT = "_osprofiler_point"
# The attribute of one whose point is opened once the statement goes to its cursor: what the point is to tell.
_AWAITED = "_osprofiler_awaited"
# The attribute of a compiled statement that says whether a parameter has a secret's name.
_SECRET = "_osprofiler_secret"
# The attribute of an engine that has our listeners.
_TRACED = "_osprofiler_traced"

# What is told of a statement with many parameter sets, and of its result.
_MOST_PARAMETER_SETS = 10
_MOST_PARAMETERS = 1000
_MOST_ROWS = 20
_MOST_RESULT_CHARACTERS = 64 * 1024


def disable():
    """Stop ``add_tracing`` and ``wrap_session`` from tracing further engines; those that are traced stay so."""
    global _DISABLED
    _DISABLED = True


def enable():
    """Let ``add_tracing`` and ``wrap_session`` trace engines, as they do from the start."""
    global _DISABLED
    _DISABLED = False


def add_tracing(sqlalchemy, engine, name, hide_result=True):
    """Make each statement that an engine executes a point.

    A point's start tells ``db.statement`` and ``db.params`` as the driver gets them. An ``executemany`` also tells
    ``db.executemany`` and the number of its parameter sets, ``db.parameter_sets``, and shows the first 10 of them. The
    stop of a statement that failed tells ``etype``, ``message`` and ``db.original_exception``.

    Doing it again for the same engine changes nothing. An engine that takes no listeners is told in a warning and stays
    untraced. Outside of a trace a statement costs three calls and one look at the context, about 0.4 us in all.

    :param sqlalchemy: the module ``sqlalchemy``
    :param engine: an ``Engine``, an ``AsyncEngine``, or a connection of either
    :param name: the points' name, a str, for example ``"db"``
    :param hide_result: False also tells the number of rows, ``db.rowcount``, and, of a driver that keeps them at hand,
        the first 20 rows as text, ``db.result``

    >>> import sqlalchemy
    >>> add_tracing(sqlalchemy, sqlalchemy.create_engine("sqlite://"), "db", hide_result=False)
    """
    if _DISABLED:
        return
    try:
        engine = _listened_to(engine)
        # Not `event.contains`: that goes by the engine's address, which an engine that is gone may have had.
        if _TRACED in vars(engine):
            return
        listen = sqlalchemy.event.listen
        if hasattr(type(engine), "raw_connection"):
            listen(engine, "before_cursor_execute", _before_execution(name))
            listen(engine, "do_execute", _execute)
            listen(engine, "do_executemany", _execute)
            listen(engine, "do_execute_no_params", _execute_without_parameters)
        else:
            # A connection has no listeners of executions.
            listen(engine, "before_cursor_execute", _before_cursor_execute(name))
        listen(engine, "after_cursor_execute", _after_cursor_execute(hide_result=hide_result))
        listen(engine, "handle_error", handle_error)
        setattr(engine, _TRACED, True)
    except Exception as error:
        LOG.warning("the statements of an engine of type `%s` are not traced: %s", type(engine).__name__, error)


def wrap_session(sqlalchemy, sess):
    """Enter a session with its engine traced as ``db``.

    Costs one look at the engine once that is traced. A session without an engine of its own is entered as it is.

    :param sqlalchemy: the module ``sqlalchemy``
    :param sess: a session, or whatever ``with`` gives a session for; for ``async with``, an ``AsyncSession``
    :returns: what ``with`` and ``async with`` enter as they would ``sess``

    >>> import sqlalchemy.orm
    >>> session = sqlalchemy.orm.Session(sqlalchemy.create_engine("sqlite://"))
    >>> with wrap_session(sqlalchemy, session) as session:
    ...     session.scalar(sqlalchemy.text("select 1"))
    1
    """
    return _WrappedSession(sqlalchemy, sess)


class _WrappedSession:
    """A context manager that passes everything on, and has the session's engine traced on the way in."""

    def __init__(self, sqlalchemy, sess):
        self._sqlalchemy = sqlalchemy
        self._sess = sess

    def __enter__(self):
        try:
            session = self._sess.__enter__()
        except BaseException as error:
            _native.hide_frame(error)
            raise
        return self._traced(session)

    def __exit__(self, *raised):
        try:
            return self._sess.__exit__(*raised)
        except BaseException as error:
            _native.hide_frame(error)
            raise

    async def __aenter__(self):
        try:
            session = await self._sess.__aenter__()
        except BaseException as error:
            _native.hide_frame(error)
            raise
        return self._traced(session)

    async def __aexit__(self, *raised):
        try:
            return await self._sess.__aexit__(*raised)
        except BaseException as error:
            _native.hide_frame(error)
            raise

    def _traced(self, session):
        with contextlib.suppress(Exception):
            engine = _listened_to(getattr(session, "bind", None))
            if engine is not None and not getattr(engine, "traced", False):
                add_tracing(self._sqlalchemy, engine, "db")
                engine.traced = True
        return session


def _listened_to(engine):
    """Return what takes listeners: of an object of the asyncio extension, the one that it stands for."""
    for name in ("sync_connection", "sync_engine"):
        # The class is asked: a stand-in of a test has every attribute.
        if hasattr(type(engine), name) and getattr(engine, name) is not None:
            return getattr(engine, name)
    return engine


def _before_cursor_execute(name):
    def handler(conn, cursor, statement, params, context, executemany):
        if profiler.get() is None or getattr(context, _POINT, None):
            return
        _open_point(name, statement, params, context, executemany)

    return handler


def _before_execution(name):
    def handler(conn, cursor, statement, params, context, executemany):
        if profiler.get() is None or getattr(context, _POINT, None):
            return
        with contextlib.suppress(AttributeError, TypeError):
            setattr(context, _AWAITED, (name, params, executemany))

    return handler


def _execute(cursor, statement, params, context):
    """Open the point of a statement that goes to its cursor now; say nothing, so that it does."""
    awaited = getattr(context, _AWAITED, None)
    if awaited is None:
        return
    setattr(context, _AWAITED, None)
    if getattr(context, _POINT, None) is None:
        name, _, executemany = awaited
        _open_point(name, statement, params, context, executemany)


def _execute_without_parameters(cursor, statement, context):
    _, params, _ = getattr(context, _AWAITED, None) or (None, None, None)
    _execute(cursor, statement, params, context)


def _open_point(name, statement, params, context, executemany):
    around = _native.current_context()
    profiler.start(name, info={"db": _statement_info(statement, params, context, executemany)})
    point = _native.current_context()
    if point is not around:
        _set_point(context, point)


def _after_cursor_execute(hide_result=True):
    tells_result = not hide_result

    def handler(conn, cursor, statement, params, context, executemany):
        if not _enter_point(context):
            return
        if tells_result:
            profiler.stop(info={"db": _result_info(cursor)})
        else:
            profiler.stop()

    return handler


def handle_error(exception_context):
    """Close the point of the statement that failed, with the error; one that failed before its cursor has none."""
    if not _enter_point(exception_context.execution_context):
        return
    error = exception_context.original_exception
    cause = getattr(error, "__cause__", None)
    info = _error_info(error)
    info["db"] = {
        "original_exception": info["message"],
        "chained_exception": "" if cause is None else _safe_str(cause),
    }
    profiler.stop(info=info)
    LOG.debug("a traced statement failed: %s", info["message"])


def _statement_info(statement, params, context, executemany):
    if not isinstance(params, (list, tuple)):
        return {"statement": statement, "params": params}
    if not executemany:
        return {"statement": statement, "params": _without_secrets(params, context)}
    if params and isinstance(params[0], (list, tuple, dict)):
        sets = len(params)
        shown = [_without_secrets(one, context) for one in params[:_MOST_PARAMETER_SETS]]
    else:
        # SQLAlchemy has made one statement of many rows: `params` are the values of one batch, in a row.
        sets = len(getattr(context, "compiled_parameters", None) or ())
        shown = _without_secrets(params, context)[:_MOST_PARAMETERS]
    return {"statement": statement, "params": shown, "executemany": True, "parameter_sets": sets}


def _without_secrets(params, context):
    """Return one set of parameters, or the rows of a batch one after the other, with secrets masked.

    A driver that takes parameters by position gets no names; SQLAlchemy's compiled statement has them. Where it is not
    certain which is whose, all values of a statement that has a secret among them are masked.
    """
    compiled = getattr(context, "compiled", None)
    if compiled is None or isinstance(params, dict) or not _has_secrets(compiled) or not _native.is_masking():
        return params
    names = _names(compiled, context)
    if not names or not params or len(params) % len(names):
        return [_native.MASK] * len(params)
    places = [_native.is_secret_name(name) for name in names]
    return [_native.MASK if secret else value for value, secret in zip(params, itertools.cycle(places))]


def _has_secrets(compiled):
    """Whether a parameter of a compiled statement, which SQLAlchemy executes again, has a secret's name."""
    secret = getattr(compiled, _SECRET, None)
    if secret is None:
        names = getattr(compiled, "positiontup", None)
        secret = isinstance(names, (list, tuple)) and any(map(_native.is_secret_name, names))
        with contextlib.suppress(AttributeError, TypeError):
            setattr(compiled, _SECRET, secret)
    return secret is True


def _names(compiled, context):
    """Return the names of an execution's parameters in the order of its driver; `None` if they are not certain."""
    names = compiled.positiontup
    if getattr(compiled, "literal_execute_params", None):
        return None
    lists = getattr(context, "_expanded_parameters", None)
    if lists:
        # Each value of an `IN` is a parameter; where these have numbers, they stand behind all others.
        if getattr(compiled, "_numeric_binds", False):
            return None
        names = [each for name in names for each in lists.get(name, (name,))]
    batches = getattr(compiled, "_insertmanyvalues", None)
    if batches is not None and batches.num_positional_params_counted != len(names):
        # What stands outside of `VALUES` is there once, not once a row.
        return None
    return names


def _result_info(cursor):
    """Return the number of rows, and the first of them where the cursor has them at hand; drivers differ in both."""
    info = {}
    with contextlib.suppress(Exception):
        if isinstance(cursor.rowcount, int):
            info["rowcount"] = cursor.rowcount
    with contextlib.suppress(Exception):
        rows = cursor._rows
        if rows:
            text = _safe_str(rows if len(rows) <= _MOST_ROWS else list(itertools.islice(rows, _MOST_ROWS)))
            info["result"] = text[:_MOST_RESULT_CHARACTERS]
    return info


def _set_point(context, point):
    with contextlib.suppress(AttributeError, TypeError):
        setattr(context, _POINT, point)


def _enter_point(context):
    """Make the execution's point the innermost one, to be closed, and forget it; False if the execution has none."""
    if context is None:
        return False
    point = getattr(context, _POINT, None)
    if point is None:
        # What can't carry a point is a stand-in of a test, whose point counts as open.
        return not hasattr(context, "__dict__")
    _set_point(context, None)
    if _native.current_context() is not point:
        # What a driver's callback has left open inside.
        with contextlib.suppress(TypeError):
            _native.enter_context(point)
    return True
