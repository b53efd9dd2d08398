# SPDX-License-Identifier: Apache-2.0
"""Points round the statements that SQLAlchemy executes.

A point is closed by the execution that opened it, whatever else fails: its execution context carries the mark.
"""

import contextlib
import logging

from osprofiler import profiler

LOG = logging.getLogger(__name__)

_DISABLED = False
_MARK = "_osprofiler_open_points"


def disable():
    """Stop ``add_tracing`` and ``wrap_session`` from tracing further engines."""
    global _DISABLED
    _DISABLED = True


def enable():
    """Lets ``add_tracing`` and ``wrap_session`` trace engines, as they do from the start."""
    global _DISABLED
    _DISABLED = False


def add_tracing(sqlalchemy, engine, name, hide_result=True):
    """Make each statement that ``engine`` executes a point ``name``."""
    if not _DISABLED:
        listen = sqlalchemy.event.listen
        listen(engine, "before_cursor_execute", _before_cursor_execute(name))
        listen(engine, "after_cursor_execute", _after_cursor_execute(hide_result=hide_result))
        listen(engine, "handle_error", handle_error)


@contextlib.contextmanager
def wrap_session(sqlalchemy, sess):
    """Enters ``sess`` with its engine traced as ``db``."""
    with sess as s:
        if not getattr(s.bind, "traced", False):
            add_tracing(sqlalchemy, s.bind, "db")
            s.bind.traced = True
        yield s


def _before_cursor_execute(name):
    def handler(conn, cursor, statement, params, context, executemany):
        if profiler._inactive():
            return
        profiler.start(name, info={"db": {"statement": statement, "params": params}})
        _count(context, 1)

    return handler


def _after_cursor_execute(hide_result=True):
    def handler(conn, cursor, statement, params, context, executemany):
        if not _is_open(context):
            return
        _count(context, -1)
        if hide_result:
            profiler.stop()
        else:
            profiler.stop(info={"db": _result_info(cursor)})

    return handler


def handle_error(exception_context):
    """Close the points of the statement that failed, with the error."""
    context = exception_context.execution_context
    if not _is_open(context):
        return
    error = exception_context.original_exception
    cause = getattr(error, "__cause__", None)
    info = profiler._error_info(error)
    info["db"] = {
        "original_exception": info["message"],
        "chained_exception": "" if cause is None else profiler._safe_str(cause),
    }
    # SQLAlchemy calls a listener once, however often it was added.
    while _is_open(context):
        _count(context, -1)
        profiler.stop(info=info)
    LOG.debug("a traced statement failed: %s", info["message"])


def _result_info(cursor):
    info = {}
    rows = getattr(cursor, "_rows", None)
    if rows is not None:
        info["result"] = profiler._safe_str(rows)
    info["rowcount"] = getattr(cursor, "rowcount", None)
    return info


def _count(context, change):
    with contextlib.suppress(AttributeError, TypeError):
        setattr(context, _MARK, getattr(context, _MARK, 0) + change)


def _is_open(context):
    count = getattr(context, _MARK, 0)
    return isinstance(count, int) and count > 0
