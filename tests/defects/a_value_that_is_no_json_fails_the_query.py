# SPDX-License-Identifier: Apache-2.0
"""Bytes and intervals are parameters as any other: the application's own query never fails because it is traced."""

import datetime
import os

import seen
import sqlalchemy
from osprofiler import sqlalchemy as tracing
from sqlalchemy import LargeBinary, literal, select, text

seen.store()
seen.trace()
VALUES = {
    "DEFECT_MARIADB": [(text("select :value"), {"value": b"\xff"})],
    "DEFECT_POSTGRESQL": [
        (select(literal(b"abc", LargeBinary)), {}),
        (select(literal(datetime.timedelta(days=1))), {}),
    ],
}
for server, statements in VALUES.items():
    engine = sqlalchemy.create_engine(os.environ[server])
    tracing.add_tracing(sqlalchemy, engine, "db")
    for statement, parameters in statements:
        with seen.unharmed("the application's query failed"), engine.connect() as connection:
            connection.execute(statement, parameters).scalar()
