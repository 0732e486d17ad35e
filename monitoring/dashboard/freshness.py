"""Freshness: how long events take from the shop into the graph.

Arrives: the newest rows of `interactions`. Leaves: quantiles. Next: the pages `overview` and `operations`.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from graphstore.tables import interactions

EVENTS = 1_000
"""The newest events that are looked at, by the primary key: the same cost in every shop."""


@dataclass(frozen=True)
class Freshness:
    """Seconds from `event_time` to `ingest_time`. Times are epoch ms. Imported history makes them large."""

    p50: float
    p99: float
    events: int
    first_at: int
    last_at: int
    """When the oldest and the newest of these events were stored."""


def read_freshness(connection: Connection) -> Freshness | None:
    """Return the quantiles of the newest events; None without any."""
    table = interactions.c
    query = select(table.ingest_time, table.event_time).order_by(table.interaction_key.desc()).limit(EVENTS)
    rows = connection.execute(query).all()
    if not rows:
        return None
    waits = sorted(max(stored - happened, 0) / 1000 for stored, happened in rows)
    at = [stored for stored, _ in rows]
    last = len(waits) - 1
    return Freshness(waits[round(0.5 * last)], waits[round(0.99 * last)], len(rows), min(at), max(at))
