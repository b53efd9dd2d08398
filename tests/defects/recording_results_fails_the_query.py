# SPDX-License-Identifier: Apache-2.0
"""`hide_result=False` works with any cursor."""

import seen
import sqlalchemy
from osprofiler import sqlalchemy as tracing

seen.collect()
seen.trace()
engine = sqlalchemy.create_engine("sqlite://")
tracing.add_tracing(sqlalchemy, engine, "db", hide_result=False)
with seen.unharmed("the application's query failed"), engine.connect() as connection:
    seen.wanted(connection.execute(sqlalchemy.text("select 7")).scalar() == 7, "the query has another result")
