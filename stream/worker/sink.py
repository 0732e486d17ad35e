"""The sink: decoded events into SQL, then into Redis. Live, backfill, replay and tests all come through here.

Arrives: structs of `stream.events`. Leaves: durable rows, then the hot keys, then the shoppers that were touched.
Next: `stream.worker.app` announces the touched ones and lets the offsets commit.

The order is the guarantee: one SQL transaction first, keyed by event_id; Redis after the commit, by idempotent
commands. A crash in between is healed by delivering the batch again, so Redis gets all events of the batch, not only
the new ones. Where somebody logged in or was forgotten between the two, the keys are made anew from SQL.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from redis import Redis
from sqlalchemy import Connection, Engine

from graphstore import ingest, queries
from graphstore.identities import IdentityRow, ingest_identities, settle
from graphstore.redis import hot
from graphstore.redis.people import refresh_people
from graphstore.redis.trending import refresh_trending
from graphstore.session import read, write
from graphstore.state import people_generation
from graphstore.upserts import ImpressionRow, ItemRow, UserRow, insert_impressions, upsert_items, upsert_users
from stream.events import CatalogItem, EventType, Identity, Impression, Interaction, UserAttributes, milliseconds

EVENT_TYPE_CODES = {event_type: code for code, event_type in enumerate(EventType)}

Progress = Mapping[str, dict[int, int]]
"""The next offset to read of each partition, by topic."""


@dataclass(frozen=True)
class Stored:
    """What a batch did; `touched` holds each person's newest event time (epoch ms)."""

    stored: int = 0
    duplicate: int = 0
    erased: int = 0
    """Events of forgotten users: dropped."""
    late: frozenset[str] = frozenset()
    """Ids of events from before the compaction horizon: not stored."""
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
        if done.late or done.erased:
            rows = [row for row in rows if row.event_id not in done.late and row.user_id not in done.erased_users]
        touches = [(done.persons.get(row.user_id, row.user_id), row.item_id, row.event_time) for row in rows]
        if self._redis is not None:
            # A worker that was killed before it looked again may have left keys of those who have none.
            hot.forget(self._redis, [*done.erased_users, *done.persons])
        if self._redis is not None and rows:
            hot.record(self._redis, touches, keep=self._recent_items)
            self._look_again({row.user_id for row in rows}, done.generation)
        touched: dict[str, int] = {}
        for person, _, time in touches:
            touched[person] = max(time, touched.get(person, time))
        return Stored(done.stored, done.duplicate, done.erased, done.late, touched)

    def _look_again(self, user_ids: set[str], generation: int) -> None:
        with read(self._engine) as connection:
            changed = people_generation(connection) != generation
        if changed:
            self._refresh(user_ids)

    def _refresh(self, user_ids: Iterable[str]) -> None:
        if self._redis is not None:
            refresh_people(self._engine, self._redis, user_ids, keep=self._recent_items)

    def store_identities(
        self, events: Sequence[Identity], *, now: int, progress: Progress | None = None
    ) -> dict[str, int]:
        """Join sessions to whom they logged in as; those persons, and the newest login's time (epoch ms)."""
        rows = [IdentityRow(event.anonymous_id, event.user_id, milliseconds(event.event_time)) for event in events]
        with write(self._engine) as connection:
            merged = ingest_identities(connection, rows)
            _record_progress(connection, progress, now)
        self._refresh(merged.persons | merged.sessions | merged.stale)
        if merged.stale:
            with write(self._engine) as connection:
                settle(connection, merged)
        newest = max((row.event_time for row in rows), default=now)
        return dict.fromkeys(sorted(merged.persons), newest)

    def store_attributes(
        self,
        upserts: Iterable[UserAttributes],
        deletes: Mapping[str, int] | None = None,
        *,
        now: int,
        progress: Progress | None = None,
    ) -> None:
        """Upsert users' attributes; `deletes` maps user_id to the time (epoch ms) at which they were taken away."""
        rows = [UserRow(e.user_id, e.attributes, milliseconds(e.event_time)) for e in upserts]
        rows += [UserRow(user_id, {}, time) for user_id, time in (deletes or {}).items()]
        with write(self._engine) as connection:
            upsert_users(connection, rows)
            _record_progress(connection, progress, now)

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
            ItemRow(item_id, "", [], "", None, available=False, updated_at=time)
            for item_id, time in (deletes or {}).items()
        ]
        with write(self._engine) as connection:
            upsert_items(connection, rows)
            _record_progress(connection, progress, now)
            # Read back: what is stored may be newer than what came.
            stored = queries.items_by_id(connection, sorted({row.item_id for row in rows}))
        if self._redis is not None:
            hot.set_items(self._redis, stored)

    def store_impressions(self, events: Iterable[Impression], *, now: int, progress: Progress | None = None) -> None:
        """Keep served lists, one row an item."""
        rows = [row for event in events for row in _impression_rows(event)]
        with write(self._engine) as connection:
            insert_impressions(connection, rows)
            _record_progress(connection, progress, now)

    def refresh_trending(self, *, now: int) -> None:
        """Write `trending:{window}` anew, see `graphstore.redis.trending`; without Redis nothing."""
        if self._redis is None:
            return
        refresh_trending(self._engine, self._redis, now=now, keep=self._trending_items)


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


def _item_row(event: CatalogItem) -> ItemRow:
    return ItemRow(
        event.item_id,
        event.title,
        event.categories,
        event.brand,
        event.price,
        event.available,
        milliseconds(event.event_time),
    )


def _impression_rows(event: Impression) -> Iterable[ImpressionRow]:
    time = milliseconds(event.event_time)
    for item in event.items:
        yield ImpressionRow(
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
