"""The sink: writes decoded events to SQL and then to Redis. Live events, backfill, replay and tests all use it.

Arrives: structs of `stream.events`. Leaves: durable rows, then hot keys, then the touched users.
Next: `stream.worker.worker` announces the touched users, and the offsets are committed.

The order is the guarantee: first one SQL transaction, keyed by event_id; after its commit Redis, with idempotent
commands. After a crash in between the batch is delivered again, so Redis always gets all events of the batch, not only
the new ones. When a login or an erasure happens in between, Redis refuses the keys (`graphstore.redis.fence`) and they
are rebuilt from SQL. So are those of a shopper whom Redis has forgotten (`graphstore.redis.lifetime`). A full Redis
stops nothing (`stream.worker.full_redis`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from redis import Redis
from sqlalchemy import Connection, Engine

from graphstore import ingest, queries
from graphstore.catalogue import Item
from graphstore.identities import IdentityRow, ingest_identities, settle
from graphstore.item_fields import ItemRow, changed
from graphstore.redis import hot, item_store, remembered, shown
from graphstore.redis.fence import Overtaken, raise_to
from graphstore.redis.lifetime import VISITOR_DAYS, Lifetime
from graphstore.redis.people import persons_of, refresh_people
from graphstore.redis.rebuild_people import restore_people
from graphstore.redis.trending import refresh_trending
from graphstore.session import read, write
from graphstore.state import people_generation
from graphstore.tables import HOUR_MS
from graphstore.takebacks import PURCHASE
from graphstore.upserts import (
    ImpressionRow,
    SeenRow,
    UserRow,
    insert_impressions,
    insert_seen,
    upsert_items,
    upsert_users,
)
from stream.events import (
    CatalogItem,
    EventType,
    Identity,
    Impression,
    Interaction,
    ItemChange,
    Seen,
    UserAttributes,
    milliseconds,
)
from stream.worker.full_redis import FullRedis

EVENT_TYPE_CODES = {event_type: code for code, event_type in enumerate(EventType)}

TRENDING_IDLE_MS = 60_000

Progress = Mapping[str, dict[int, int]]
"""By topic: the next offset to read in each partition."""


@dataclass(frozen=True)
class Stored:
    """The result of a batch. `touched` holds the newest event time (epoch ms) of each person."""

    stored: int = 0
    duplicate: int = 0
    erased: int = 0
    """Dropped events of forgotten users."""
    late: frozenset[str] = frozenset()
    """Ids of events older than the compaction horizon, which are not stored."""
    touched: dict[str, int] = field(default_factory=dict)


class Sink:
    """Writes events to the graph and to Redis. With `redis` None it writes only SQL, for a backfill before Redis
    exists."""

    def __init__(
        self,
        engine: Engine,
        redis: Redis | None,
        *,
        recent_items: int = hot.RECENT_ITEMS,
        trending_items: int = hot.TRENDING_ITEMS,
        visitor_days: int = VISITOR_DAYS,
    ) -> None:
        self._engine = engine
        self._redis = redis
        self._recent_items = recent_items
        self._trending_items = trending_items
        self._visitor_days = visitor_days
        self._full = FullRedis()
        self._counts_changed = True
        self._trending_at = 0

    def store_interactions(
        self, events: Sequence[Interaction], *, now: int, progress: Progress | None = None
    ) -> Stored:
        """Store the batch and its offsets in one transaction, then write Redis. `now` is epoch ms.

        Raises `sqlalchemy.exc.DBAPIError` or `redis.RedisError`; the caller may give the whole batch again.
        """
        rows = [_interaction_row(event) for event in events]
        with write(self._engine) as connection:
            done = ingest.ingest_interactions(connection, rows, now=now)
            _record_progress(connection, progress, now)
        self._counts_changed |= bool(done.stored or done.erased)
        if done.late or done.erased:
            rows = [row for row in rows if row.event_id not in done.late and row.user_id not in done.erased_users]
        touches = [(done.persons.get(row.user_id, row.user_id), row.item_id, row.event_time) for row in rows]
        if self._redis is not None:
            with self._full.passed(self._redis):
                self._remember(self._redis, rows, touches, done, Lifetime(now, self._visitor_days))
        touched: dict[str, int] = {}
        for person, _, time in touches:
            touched[person] = max(time, touched.get(person, time))
        return Stored(done.stored, done.duplicate, done.erased, done.late, touched)

    def _remember(
        self,
        redis: Redis,
        rows: Sequence[ingest.InteractionRow],
        touches: Sequence[hot.Touch],
        done: ingest.Ingested,
        lifetime: Lifetime,
    ) -> None:
        """Write the stored rows to the keys of their persons."""
        # The persons too: an earlier login than the known one moves a session away from its person.
        concerned = {*(row.user_id for row in rows), *done.persons.values()}
        bought = [touch for touch, row in zip(touches, rows, strict=True) if row.event_type == PURCHASE]
        try:
            # A worker that was killed before its second check may have left keys of sessions or erased users.
            gone = [*done.erased_users, *done.persons]
            hot.forget_members(redis, gone, generation=done.generation)
            forgotten = hot.record(
                redis,
                touches,
                keep=self._recent_items,
                bought=bought,
                lifetime=lifetime,
                new=done.new_users,
                generation=done.generation,
            )
        except Overtaken:
            self._refresh({*concerned, *done.persons, *done.erased_users}, lifetime)
            return
        if forgotten:
            restore_people(self._engine, redis, forgotten, keep=self._recent_items, lifetime=lifetime)
        # SQL knows which purchase stands after a take-back, whichever of them comes first.
        self._refresh({done.persons.get(user_id, user_id) for user_id in done.taken_back}, lifetime)
        self._refresh_if_changed(concerned, done.generation, lifetime)

    def _refresh_if_changed(self, user_ids: set[str], generation: int, lifetime: Lifetime) -> None:
        if not user_ids:
            return
        with read(self._engine) as connection:
            changed = people_generation(connection) != generation
        if changed:
            self._refresh(user_ids, lifetime)

    def _refresh(self, user_ids: Iterable[str], lifetime: Lifetime) -> None:
        if self._redis is not None:
            refresh_people(self._engine, self._redis, user_ids, keep=self._recent_items, lifetime=lifetime)

    def store_identities(
        self, events: Sequence[Identity], *, now: int, progress: Progress | None = None
    ) -> dict[str, int]:
        """Join sessions to persons; return these persons with the time of the newest login (epoch ms)."""
        rows = [IdentityRow(event.anonymous_id, event.user_id, milliseconds(event.event_time)) for event in events]
        with write(self._engine) as connection:
            merged = ingest_identities(connection, rows)
            _record_progress(connection, progress, now)
        if self._redis is not None:
            with self._full.passed(self._redis):
                raise_to(self._redis, merged.generation)  # before the keys are read for the correction
                lifetime = Lifetime(now, self._visitor_days)
                self._refresh(merged.persons | merged.sessions | merged.stale, lifetime)
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
        """Upsert users' attributes. `deletes` maps user_id to the time of the delete (epoch ms)."""
        rows = [UserRow(e.user_id, e.attributes, milliseconds(e.event_time)) for e in upserts]
        rows += [UserRow(user_id, {}, time) for user_id, time in (deletes or {}).items()]
        with write(self._engine) as connection:
            upsert_users(connection, rows)
            _record_progress(connection, progress, now)

    def store_items(
        self,
        upserts: Iterable[CatalogItem | ItemChange],
        deletes: Mapping[str, int] | None = None,
        *,
        now: int,
        progress: Progress | None = None,
    ) -> None:
        """Upsert catalogue entries and change fields. `deletes` maps item_id to the time of the delete (epoch ms)."""
        rows = [_item_row(event) for event in upserts]
        rows += [
            ItemRow(item_id, "", [], "", None, available=False, updated_at=time)
            for item_id, time in (deletes or {}).items()
        ]
        with write(self._engine) as connection:
            upsert_items(connection, rows)
            _record_progress(connection, progress, now)
            # Read back, because the stored entry may be newer than the given one.
            stored = queries.items_by_id(connection, sorted({row.item_id for row in rows}))
        self._counts_changed |= bool(rows)  # an item that cannot be bought does not trend
        if self._redis is not None:
            with self._full.passed(self._redis):
                self._show_items(self._redis, stored)

    def _show_items(self, redis: Redis, stored: Sequence[Item]) -> None:
        """Write the items to Redis, and again those that changed in SQL meanwhile.

        An entry and a change of one item are messages of two topics, which two workers may hold. The one that wrote to
        SQL first may write to Redis last: it then reads what the other has stored.
        """
        while stored:
            item_store.set_items(redis, stored)
            written = {item.item_id: item for item in stored}
            with read(self._engine) as connection:
                now = queries.items_by_id(connection, sorted(written))
            stored = [item for item in now if item != written[item.item_id]]

    def store_impressions(self, events: Iterable[Impression], *, now: int, progress: Progress | None = None) -> None:
        """Store served lists, one row for each item."""
        rows = [row for event in events for row in _impression_rows(event)]
        with write(self._engine) as connection:
            insert_impressions(connection, rows)
            _record_progress(connection, progress, now)
        self._remember_shown([(row.request_id, row.position) for row in rows], now)

    def store_seen(self, events: Iterable[Seen], *, now: int, progress: Progress | None = None) -> None:
        """Store which positions of served lists were seen."""
        rows = [
            SeenRow(event.request_id, position, event.user_id, milliseconds(event.event_time))
            for event in events
            for position in event.positions
        ]
        with write(self._engine) as connection:
            insert_seen(connection, rows)
            _record_progress(connection, progress, now)
        self._remember_shown([(row.request_id, row.position) for row in rows], now)

    def _remember_shown(self, places: Sequence[tuple[str, int]], now: int) -> None:
        """Write to `shown:` what these places (request_id, position) have put before shoppers.

        Read back from SQL, because an impression and the look at it come in any order.
        """
        if self._redis is None or not places:
            return
        lifetime = Lifetime(now, self._visitor_days)
        with read(self._engine) as connection:
            generation = people_generation(connection)
            rows = remembered.listed(connection, places)
            persons = persons_of(connection, {row[0] for row in rows})
        lists = [(person, item_id, time) for user_id, item_id, time in rows if (person := persons[user_id]) is not None]
        with self._full.passed(self._redis):
            try:
                shown.record(self._redis, lists, lifetime, generation=generation)
            except Overtaken:
                self._refresh({row[0] for row in rows}, lifetime)

    def refresh_trending(self, *, now: int) -> None:
        """Replace `trending:{window}`, see `graphstore.redis.trending`. Does nothing without Redis.

        Without new events it is done once a minute and when an hour begins: other processes write to SQL, too.
        """
        if self._redis is None:
            return
        same_hour = now // HOUR_MS == self._trending_at // HOUR_MS
        if same_hour and now - self._trending_at < TRENDING_IDLE_MS and not self._counts_changed:
            return
        self._counts_changed = False
        try:
            refresh_trending(self._engine, self._redis, now=now, keep=self._trending_items)
        except BaseException:
            self._counts_changed = True
            raise
        self._trending_at = now


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
        event.order_id,
        event.currency,
    )


def _item_row(event: CatalogItem | ItemChange) -> ItemRow:
    if isinstance(event, ItemChange):
        return changed(event.item_id, event.fields(), event.attributes, time=milliseconds(event.event_time))
    return ItemRow(
        event.item_id,
        event.title,
        event.categories,
        event.brand,
        event.price,
        event.available,
        milliseconds(event.event_time),
        event.attributes,
        event.url,
        event.image_url,
        event.stock,
        event.product_id,
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
            confirmed=event.confirmed,
            robot=event.robot,
            client=event.client,
        )
