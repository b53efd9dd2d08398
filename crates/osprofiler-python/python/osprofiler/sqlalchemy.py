# SPDX-License-Identifier: Apache-2.0
"""Points round the statements that SQLAlchemy executes.

A point is closed by the execution that opened it, whatever else fails: its execution context carries the mark.
"""

import contextlib
import logging

from osprofiler import profiler
from osprofiler.profiler import _error_info, _safe_str

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
        if profiler.get() is None:
            return
        profiler.start(name, info={"db": {"statement": statement, "params": params}})
        _set_open_points(context, _open_points(context) + 1)

    return handler


def _after_cursor_execute(hide_result=True):
    def handler(conn, cursor, statement, params, context, executemany):
        count = _open_points(context)
        if count == 0:
            return
        _set_open_points(context, count - 1)
        if hide_result:
            profiler.stop()
        else:
            profiler.stop(info={"db": _result_info(cursor)})

    return handler


def handle_error(exception_context):
    """Close the points of the statement that failed, with the error."""
    context = exception_context.execution_context
    count = _open_points(context)
    if count == 0:
        return
    _set_open_points(context, 0)
    error = exception_context.original_exception
    cause = getattr(error, "__cause__", None)
    info = _error_info(error)
    info["db"] = {
        "original_exception": info["message"],
        "chained_exception": "" if cause is None else _safe_str(cause),
    }
    # SQLAlchemy calls a listener once, however often it was added.
    for _ in range(count):
        profiler.stop(info=info)
    LOG.debug("a traced statement failed: %s", info["message"])


def _result_info(cursor):
    """Return the rows where the cursor keeps them, their number where it does not."""
    rows = getattr(cursor, "_rows", None)
    if rows is None:
        return {"rowcount": getattr(cursor, "rowcount", None)}
    return {"result": _safe_str(rows)}


def _open_points(context):
    """Return how many points an execution has open; of what is no execution context, such as a test's stand-in, one."""
    if context is None:
        return 0
    count = getattr(context, _MARK, 0 if hasattr(context, "__dict__") else 1)
    return count if isinstance(count, int) else 1


def _set_open_points(context, count):
    with contextlib.suppress(AttributeError, TypeError):
        setattr(context, _MARK, count)
