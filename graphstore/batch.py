"""Set-based writing, the same SQL on SQLite and PostgreSQL: a staging table, and one statement for many rows.

Arrives: rows as tuples. Leaves: the temporary table `batch`, or executed upserts. Next: `graphstore.ingest` and its
neighbours, which hold the SQL.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

WRITERS_LOCK = 0x5A6E_0001
"""PostgreSQL: writers of interactions share it; whoever must know that none is under way takes it alone."""


def stage(connection: Connection, columns: str, rows: Sequence[Sequence[Any]]) -> None:
    """Fill the temporary table `batch`, which is this connection's own; `columns` declares it, always the same."""
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
    """Run `statement` for every row. `{values}` in it becomes the parameters, `{least}` and `{greatest}` the functions.

    Give the rows in the order of their keys: two writers then lock in the same order.
    """
    values = list(rows)
    if not values:
        return
    sqlite = connection.dialect.name == "sqlite"
    marks = ", ".join(["?" if sqlite else "%s"] * len(values[0]))
    least, greatest = ("min", "max") if sqlite else ("least", "greatest")
    connection.exec_driver_sql(statement.format(values=marks, least=least, greatest=greatest), values)


def lock_writers(connection: Connection, *, shared: bool) -> None:
    """Until the transaction ends: join the writers (`shared`), or wait for all of them and keep new ones out.

    On SQLite a write transaction is alone anyway.
    """
    if connection.dialect.name != "sqlite":
        function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        connection.exec_driver_sql(f"SELECT {function}({WRITERS_LOCK})")
