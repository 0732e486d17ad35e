"""Counters of a batch: adds its new events to `edges` and `item_buckets`.

Arrives: the events that `graphstore.ingest` has just stored: on SQLite as rows, on PostgreSQL in the temporary table
`stored`. Leaves: counters. Counts are added, times are minima and maxima, so the order of events does not matter.

PostgreSQL counts by itself, one statement a table: statements for single edges, buckets and marks cost the worker two
thirds of its CPU. Each writer goes through the rows in the order of their keys, so two writers lock rows in the same
order. Buckets are shared by all shoppers: a batch counts them last, so that another worker waits for them only until
the commit.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from graphstore.batch import execute_many
from graphstore.tables import COUNT_COLUMNS, HOUR_MS

_ZEROS = (0,) * len(COUNT_COLUMNS)
_COUNTS = ", ".join(COUNT_COLUMNS)
_COUNTED = ", ".join(f"COUNT(*) FILTER (WHERE event_type = {code})" for code in range(len(COUNT_COLUMNS)))
_ADDED = ", ".join(f"{name} = {{table}}.{name} + excluded.{name}" for name in COUNT_COLUMNS)

_INTO_EDGES = f"INSERT INTO edges (user_key, item_key, {_COUNTS}, first_time, last_time)"
_JOIN_EDGES = f"""
ON CONFLICT (user_key, item_key) DO UPDATE SET {_ADDED.format(table="edges")},
    first_time = {{least}}(edges.first_time, excluded.first_time),
    last_time = {{greatest}}(edges.last_time, excluded.last_time)
"""
_INTO_BUCKETS = f"INSERT INTO item_buckets (hour, item_key, {_COUNTS})"
_JOIN_BUCKETS = f"ON CONFLICT (hour, item_key) DO UPDATE SET {_ADDED.format(table='item_buckets')}"

_UPSERT_EDGES = f"{_INTO_EDGES} VALUES ({{values}}) {_JOIN_EDGES}"
_UPSERT_BUCKETS = f"{_INTO_BUCKETS} VALUES ({{values}}) {_JOIN_BUCKETS}"
_ADD_STORED_EDGES = f"""
{_INTO_EDGES} SELECT user_key, item_key, {_COUNTED}, MIN(event_time), MAX(event_time) FROM stored
GROUP BY user_key, item_key ORDER BY user_key, item_key
{_JOIN_EDGES.format(least="least", greatest="greatest")}
"""
# The division goes towards zero where Python's goes down: the same for every time since 1970.
_ADD_STORED_BUCKETS = f"""
{_INTO_BUCKETS} SELECT event_time / {HOUR_MS} AS hour, item_key, {_COUNTED} FROM stored
GROUP BY hour, item_key ORDER BY hour, item_key
{_JOIN_BUCKETS}
"""


def add_to_edges(connection: Connection, new: Sequence[Any]) -> None:
    """Add the new events (user_key, item_key, event_type, event_time) to `edges`."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(_ADD_STORED_EDGES)
        return
    edges: dict[tuple[int, int], list[int]] = {}
    for user_key, item_key, event_type, event_time in new:
        edge = edges.setdefault((user_key, item_key), [*_ZEROS, event_time, event_time])
        edge[event_type] += 1
        edge[-2] = min(edge[-2], event_time)
        edge[-1] = max(edge[-1], event_time)
    execute_many(connection, _UPSERT_EDGES, ((*key, *edges[key]) for key in sorted(edges)))


def add_to_buckets(connection: Connection, new: Sequence[Any]) -> None:
    """Add the new events to `item_buckets`."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(_ADD_STORED_BUCKETS)
        return
    buckets: dict[tuple[int, int], list[int]] = {}
    for _, item_key, event_type, event_time in new:
        bucket = buckets.setdefault((event_time // HOUR_MS, item_key), [*_ZEROS])
        bucket[event_type] += 1
    execute_many(connection, _UPSERT_BUCKETS, ((*key, *buckets[key]) for key in sorted(buckets)))
