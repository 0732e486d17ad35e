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
    empty_table(connection, "batch", columns)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(rows[0]))
        connection.exec_driver_sql(f"INSERT INTO batch VALUES ({marks})", [tuple(row) for row in rows])
        return
    with _driver_cursor(connection).copy("COPY batch FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def empty_table(connection: Connection, name: str, columns: str) -> None:
    """Make an empty temporary table of this connection. `columns` declares it and is always the same."""
    connection.exec_driver_sql(f"CREATE TEMP TABLE IF NOT EXISTS {name} ({columns})")
    connection.exec_driver_sql(f"DELETE FROM {name}" if connection.dialect.name == "sqlite" else f"TRUNCATE {name}")


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
    connection.exec_driver_sql(_of_dialect(connection, statement, values=marks), values)


def execute_at_once(
    connection: Connection, statement: str, types: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    """As `execute_many`, but one statement for all rows where the database can: for the many rows of a large batch.

    `{rows}` stands where `VALUES (…)` would. `types` are the types of PostgreSQL, which gets each column as an array.
    The keys of the rows differ: one statement may not change a row twice.
    """
    if connection.dialect.name == "sqlite":
        execute_many(connection, statement.replace("{rows}", "VALUES ({values})"), rows)
        return
    columns = [list(column) for column in zip(*rows, strict=True)]
    if columns:
        arrays = ", ".join(f"%s::{name}[]" for name in types)
        given = f"SELECT * FROM unnest({arrays})"
        connection.exec_driver_sql(_of_dialect(connection, statement, rows=given), tuple(columns))


def _of_dialect(connection: Connection, statement: str, **parts: str) -> str:
    least, greatest = ("min", "max") if connection.dialect.name == "sqlite" else ("least", "greatest")
    return statement.format(least=least, greatest=greatest, **parts)


def lock_writers(connection: Connection, *, shared: bool) -> None:
    """Hold the writers' lock until the transaction ends: `shared` among writers, else exclusive.

    On SQLite a write transaction is exclusive already.
    """
    if connection.dialect.name != "sqlite":
        function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        connection.exec_driver_sql(f"SELECT {function}({WRITERS_LOCK})")
