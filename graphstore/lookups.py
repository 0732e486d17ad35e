"""Looks rows up by a list of values, through the index, whatever the size of the table.

Arrives: ids or keys. Leaves: rows. Next: `graphstore.ingest_keys` and `graphstore.ingest` ask for the ids of a batch.

A plain join with a batch of a thousand ids is read by PostgreSQL as a scan of the whole table until that has hundreds
of thousands of rows: it guesses that a thousand steps into an index cost more. Such a scan was most of the server's
work for a batch, and it grew with the shop. `LATERAL` with a `LIMIT` asks the index once for each value. The values are
one JSON array: psycopg looks at each element of a list for characters to quote, which took the worker more CPU than
all else about a lookup.
"""

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection

_POSTGRESQL = """
SELECT {columns} FROM json_array_elements_text(%s::json) AS given (value)
CROSS JOIN LATERAL (SELECT {columns} FROM {table} WHERE {key} = given.value::{type} LIMIT 1) AS found
"""
_SQLITE = "SELECT {columns} FROM json_each(?) AS given CROSS JOIN {table} WHERE {key} = given.value"


def rows_with(
    connection: Connection, columns: str, table: str, key: str, values: Collection[str] | Collection[int]
) -> Sequence[Any]:
    """Return `columns` of the rows of `table` whose `key`, which is unique, is one of the values."""
    given = list(values)
    if not given:
        return []
    form = _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL
    kind = "bigint" if isinstance(given[0], int) else "varchar"
    statement = form.format(columns=columns, table=table, key=key, type=kind)
    return connection.exec_driver_sql(statement, (json.dumps(given),)).fetchall()
