"""Batch writes with the same SQL on SQLite and PostgreSQL: a staging table, and one statement for many rows.

Arrives: rows as tuples. Leaves: the temporary table `batch`, or executed upserts. Next: `graphstore.ingest`,
`graphstore.upserts` and `graphstore.identities`, which hold the SQL.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

WRITERS_LOCK = 0x5A6E_0001
"""PostgreSQL advisory lock. Writers of interactions share it; a transaction that must exclude them takes it alone."""


def stage(connection: Connection, columns: str, rows: Sequence[Sequence[Any]]) -> None:
    """Fill the temporary table `batch` of this connection. `columns` declares it and is always the same."""
    connection.exec_driver_sql(f"CREATE TEMP TABLE IF NOT EXISTS batch ({columns})")
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("DELETE FROM batch")
        marks = ", ".join("?" * len(rows[0]))
        connection.exec_driver_sql(f"INSERT INTO batch VALUES ({marks})", [tuple(row) for row in rows])
        return
    connection.exec_driver_sql("TRUNCATE batch")
    with _driver_cursor(connection).copy("COPY batch FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _driver_cursor(connection: Connection) -> Any:
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    return driver.cursor()


def execute_many(connection: Connection, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Run `statement` for every row.

    `{values}` stands for the parameters, `{least}` and `{greatest}` for the functions of the database. Sort the rows by
    their keys: two writers then lock rows in the same order and cannot deadlock.
    """
    values = list(rows)
    if not values:
        return
    sqlite = connection.dialect.name == "sqlite"
    marks = ", ".join(["?" if sqlite else "%s"] * len(values[0]))
    least, greatest = ("min", "max") if sqlite else ("least", "greatest")
    connection.exec_driver_sql(statement.format(values=marks, least=least, greatest=greatest), values)


def lock_writers(connection: Connection, *, shared: bool) -> None:
    """Hold the writers' lock until the transaction ends: `shared` among writers, else exclusive.

    On SQLite a write transaction is exclusive already.
    """
    if connection.dialect.name != "sqlite":
        function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        connection.exec_driver_sql(f"SELECT {function}({WRITERS_LOCK})")
