"""The sink: decoded events into SQL, then into Redis. Live, backfill, replay and tests all come through here.

Arrives: structs of `stream.events`. Leaves: durable rows, then the hot keys, then the shoppers that were touched.
Next: `stream.app` announces the touched ones and lets the offsets commit.

The order is the guarantee: one SQL transaction first, keyed by event_id; Redis after the commit, by idempotent
commands. A crash in between is healed by delivering the batch again, so Redis gets all events of the batch, not only
the new ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from redis import Redis
from sqlalchemy import Connection, Engine

from graphstore import hot, ingest, queries
from graphstore.session import read, write
from graphstore.tables import HOUR_MS
from stream.events import CatalogItem, EventType, Impression, Interaction, milliseconds

EVENT_TYPE_CODES = {event_type: code for code, event_type in enumerate(EventType)}

Progress = Mapping[str, dict[int, int]]
"""The next offset to read of each partition, by topic."""


@dataclass(frozen=True)
class Stored:
    """What a batch did; `touched` holds each shopper's newest event time (epoch ms)."""

    stored: int = 0
    duplicate: int = 0
    touched: dict[str, int] = field(default_factory=dict)


class Sink:
    """Writes events to the graph and to Redis. `redis` None: SQL only, for a backfill before Redis is filled."""

    def __init__(self, engine: Engine, redis: Redis | None, *, recent_items: int, trending_items: int) -> None:
        self._engine = engine
        self._redis = redis
        self._recent_items = recent_items
        self._trending_items = trending_items

    def store_interactions(
        self, events: Sequence[Interaction], *, now: int, progress: Progress | None = None
    ) -> Stored:
        """One transaction for the batch and its offsets, then Redis. `now` is epoch ms.

        Raises `sqlalchemy.exc.DBAPIError` or `redis.RedisError`; the whole batch may be given again.
        """
        rows = [_interaction_row(event) for event in events]
        with write(self._engine) as connection:
            done = ingest.ingest_interactions(connection, rows, now=now)
            _record_progress(connection, progress, now)
        touched: dict[str, int] = {}
        for row in rows:
            touched[row.user_id] = max(row.event_time, touched.get(row.user_id, row.event_time))
        if self._redis is not None and rows:
            hot.record(self._redis, ((r.user_id, r.item_id, r.event_time) for r in rows), keep=self._recent_items)
        return Stored(done.stored, done.duplicate, touched)

    def store_items(
        self,
        upserts: Iterable[CatalogItem],
        deletes: Mapping[str, int] | None = None,
        *,
        now: int,
        progress: Progress | None = None,
    ) -> None:
        """Upsert catalogue entries; `deletes` maps item_id to the time (epoch ms) at which it left the shop."""
        rows = [_item_row(event) for event in upserts]
        rows += [
            ingest.ItemRow(item_id, "", [], "", None, available=False, updated_at=time)
            for item_id, time in (deletes or {}).items()
        ]
        with write(self._engine) as connection:
            ingest.ingest_items(connection, rows)
            _record_progress(connection, progress, now)
            # Read back: what is stored may be newer than what came.
            stored = queries.items_by_id(connection, sorted({row.item_id for row in rows}))
        if self._redis is not None:
            hot.set_items(self._redis, stored)

    def store_impressions(self, events: Iterable[Impression], *, now: int, progress: Progress | None = None) -> None:
        """Keep served lists, one row an item."""
        rows = [row for event in events for row in _impression_rows(event)]
        with write(self._engine) as connection:
            ingest.ingest_impressions(connection, rows)
            _record_progress(connection, progress, now)

    def refresh_trending(self, *, now: int) -> None:
        """Rebuild `trending:{window}` from the hourly counts: windows slide even when nothing arrives."""
        if self._redis is None:
            return
        for window, hours in hot.TRENDING_WINDOWS_HOURS.items():
            with read(self._engine) as connection:
                top = queries.trending(connection, since_ms=now - (hours - 1) * HOUR_MS, limit=self._trending_items)
            hot.set_trending(self._redis, window, {item_id: float(count) for item_id, count in top})


def _record_progress(connection: Connection, progress: Progress | None, now: int) -> None:
    for topic, next_offsets in (progress or {}).items():
        ingest.record_progress(connection, topic, next_offsets, now=now)


def _interaction_row(event: Interaction) -> ingest.InteractionRow:
    return ingest.InteractionRow(
        event.event_id,
        EVENT_TYPE_CODES[event.event_type],
        event.user_id,
        event.item_id,
        milliseconds(event.event_time),
        event.value,
        event.quantity,
        event.request_id,
        event.position,
    )


def _item_row(event: CatalogItem) -> ingest.ItemRow:
    return ingest.ItemRow(
        event.item_id,
        event.title,
        event.categories,
        event.brand,
        event.price,
        event.available,
        milliseconds(event.event_time),
    )


def _impression_rows(event: Impression) -> Iterable[ingest.ImpressionRow]:
    time = milliseconds(event.event_time)
    for item in event.items:
        yield ingest.ImpressionRow(
            request_id=event.request_id,
            position=item.position,
            user_id=event.user_id,
            item_id=item.item_id,
            slot=event.slot,
            event_time=time,
            model_version=event.model_version,
            variant=event.variant,
            score=item.score,
            propensity=item.propensity,
            source=item.source,
        )
