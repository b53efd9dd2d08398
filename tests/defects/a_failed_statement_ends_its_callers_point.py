# SPDX-License-Identifier: Apache-2.0
"""An SQL error from before there is a cursor ends no point: none was begun."""

import contextlib

import seen
import sqlalchemy
from osprofiler import profiler
from osprofiler import sqlalchemy as tracing

notifications = seen.collect()
seen.trace("B")
engine = sqlalchemy.create_engine("sqlite://")
tracing.add_tracing(sqlalchemy, engine, "db")
with profiler.Trace("outer"):
    with contextlib.suppress(Exception), engine.connect() as connection:
        connection.execute(sqlalchemy.text("select :missing"))
    with profiler.Trace("later"):
        pass
(outer,) = seen.find(notifications, "outer-start")
(later,) = seen.find(notifications, "later-start")
seen.wanted(later["parent_id"] == outer["trace_id"], "the statement's error ended the point around it")
(stop,) = seen.find(notifications, "outer-stop")
seen.wanted("etype" not in stop["info"], "the point around it has the statement's error")
