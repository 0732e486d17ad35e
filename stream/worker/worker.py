"""The worker without Faust: decodes, stores and announces each batch, with the same steps for every topic.

Arrives: lists of Kafka records. Leaves: rows and hot keys through `stream.worker.sink`, bad messages on the dead letter
queue, users on `users.touched`. Next: `serving.nearline` ranks these users again.

The order is the guarantee: a handler returns, and so acknowledges the batch, after all its results are durable. When a
service is unreachable, the current batch is retried. A single event that the store can never accept becomes a dead
letter. When too many messages are bad, the topic is held: nothing of that batch reaches the dead letter queue and
nothing is acknowledged until the hold ends by itself. Then this batch is taken, and the next
ones are judged alone.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aiokafka.structs import ConsumerRecord
from prometheus_client import Counter, Gauge

from graphstore.trace_header import header_of
from graphstore.tracing import traceparent
from stream import events
from stream.dlq import dead_letters
from stream.dlq.dead_letters import LATE, Bad, Read, Tombstone
from stream.kafka.batch_context import working_on
from stream.kafka.batch_producer import Message
from stream.worker.bisect import store_by_halves
from stream.worker.dlq_limit import HOLD_FIRST_SECONDS, DlqLimit
from stream.worker.retry import first_line, retry_until_reachable, service_of
from stream.worker.sink import Progress, Sink, Stored
from stream.worker.topic_hold import TopicHold
from stream.worker.topic_status import TopicStatus

logger = logging.getLogger(__name__)

EVENTS = Counter("sagestream_events_total", "Messages handled by the worker", ["topic", "outcome"])
LAST_BATCH = Gauge("sagestream_worker_last_batch_timestamp_seconds", "When the worker last made a batch durable")

TOPICS = (
    events.INTERACTIONS,
    events.IMPRESSIONS,
    events.CATALOG,
    events.CATALOG_CHANGES,
    events.USERS,
    events.IDENTITIES,
    events.SEEN,
)

Clock = Callable[[], int]
Deliver = Callable[[Sequence[Message]], Awaitable[None]]
Store = Callable[[Sequence[Any], Progress | None], Stored]


class Worker:
    """One handler for each topic. `deliver` returns when the broker has the messages; `now` returns epoch ms.

    A topic of which more than `dead_share` is bad is held, at first for `first_hold_seconds`.
    """

    def __init__(
        self,
        sink: Sink,
        deliver: Deliver,
        now: Clock,
        *,
        standing: TopicStatus,
        dead_share: float,
        first_hold_seconds: float = HOLD_FIRST_SECONDS,
    ) -> None:
        self._sink = sink
        self._deliver = deliver
        self._now = now
        self._standing = standing
        self._limits = {topic: DlqLimit(share=dead_share, first_hold_seconds=first_hold_seconds) for topic in TOPICS}

    async def on_interactions(self, records: Sequence[ConsumerRecord]) -> None:
        """Store interactions and announce the users whose graph changed."""
        now = self._now()

        def store(part: Sequence[Any], progress: Progress | None) -> Stored:
            return self._sink.store_interactions(part, now=now, progress=progress)

        await self._work(events.INTERACTIONS, records, dead_letters.read(records, events.Interaction, now=now), store)

    async def on_impressions(self, records: Sequence[ConsumerRecord]) -> None:
        """Store served lists."""
        now = self._now()

        def store(part: Sequence[Any], progress: Progress | None) -> Stored:
            self._sink.store_impressions(part, now=now, progress=progress)
            return Stored(len(part))

        await self._work(events.IMPRESSIONS, records, dead_letters.read(records, events.Impression, now=now), store)

    async def on_catalog(self, records: Sequence[ConsumerRecord]) -> None:
        """Upsert items. A null value is a delete at the time of the record."""
        now = self._now()

        def store(part: Sequence[Any], progress: Progress | None) -> Stored:
            upserts, deletes = _by_kind(part)
            self._sink.store_items(upserts, deletes, now=now, progress=progress)
            return Stored(len(part))

        read = dead_letters.read(records, events.CatalogItem, now=now, deletes=True)
        await self._work(events.CATALOG, records, read, store)

    async def on_changes(self, records: Sequence[ConsumerRecord]) -> None:
        """Change some fields of items."""
        now = self._now()

        def store(part: Sequence[Any], progress: Progress | None) -> Stored:
            self._sink.store_items(part, now=now, progress=progress)
            return Stored(len(part))

        read = dead_letters.read(records, events.ItemChange, now=now)
        await self._work(events.CATALOG_CHANGES, records, read, store)

    async def on_users(self, records: Sequence[ConsumerRecord]) -> None:
        """Upsert users' attributes. A null value deletes them."""
        now = self._now()

        def store(part: Sequence[Any], progress: Progress | None) -> Stored:
            upserts, deletes = _by_kind(part)
            self._sink.store_attributes(upserts, deletes, now=now, progress=progress)
            return Stored(len(part))

        read = dead_letters.read(records, events.UserAttributes, now=now, deletes=True)
        await self._work(events.USERS, records, read, store)

    async def on_identities(self, records: Sequence[ConsumerRecord]) -> None:
        """Join sessions to persons and announce these persons."""
        now = self._now()

        def store(part: Sequence[Any], progress: Progress | None) -> Stored:
            return Stored(len(part), touched=self._sink.store_identities(part, now=now, progress=progress))

        await self._work(events.IDENTITIES, records, dead_letters.read(records, events.Identity, now=now), store)

    async def on_seen(self, records: Sequence[ConsumerRecord]) -> None:
        """Store what shoppers have seen of the served lists."""
        now = self._now()

        def store(part: Sequence[Any], progress: Progress | None) -> Stored:
            self._sink.store_seen(part, now=now, progress=progress)
            return Stored(len(part))

        await self._work(events.SEEN, records, dead_letters.read(records, events.Seen, now=now), store)

    def refresh_trending(self) -> None:
        """Rebuild the trending lists. When a service is unreachable, the next tick tries again."""
        try:
            self._sink.refresh_trending(now=self._now())
        except Exception as error:
            if service_of(error) is None:
                raise
            logger.warning("trending lists not refreshed: %s", first_line(error))

    async def _work(self, topic: str, records: Sequence[ConsumerRecord], read: Read, store: Store) -> None:
        with self._current_batch(topic), working_on("store", topic, records):
            hold = TopicHold(topic, records, self._limits[topic], self._now, self._standing)
            await hold.wait_if_too_bad(read.bad)
            parts, refused = await self._store(records, read, store, hold)
            bad = sorted([*read.bad, *refused, *_late(read, parts)])
            await hold.wait_if_too_bad(bad)
            hold.add(bad)
            now = self._now()
            messages = dead_letters.letters(bad, now=now) + _announcements(parts)
            await retry_until_reachable(
                lambda: self._deliver(messages), doing="announcing", topic=topic, standing=self._standing
            )
            dead_letters.count(bad)
            for outcome, number in (
                ("stored", sum(part.stored for part in parts)),
                ("duplicate", sum(part.duplicate for part in parts)),
                ("erased", sum(part.erased for part in parts)),
                ("dead", len(bad)),
            ):
                EVENTS.labels(topic, outcome).inc(number)
            LAST_BATCH.set(now / 1000)

    async def _store(
        self, records: Sequence[ConsumerRecord], read: Read, store: Store, hold: TopicHold
    ) -> tuple[list[Stored], list[Bad]]:
        """Store all events in one transaction with the offsets, or the events that the store accepts."""
        progress = next_offsets(records)

        async def patient(part: Sequence[Any], progress: Progress | None) -> Stored:
            async def step() -> Stored:
                # Not in an executor: this is faster (measured), and the consumer's heartbeat has its own thread.
                return store(part, progress)

            return await retry_until_reachable(step, doing="storing", topic=hold.topic, standing=self._standing)

        def bad(refused: Sequence[tuple[int, str]]) -> list[Bad]:
            return [Bad(*read.sources[index], "refused", reason) for index, reason in refused]

        parts, refused = await store_by_halves(
            read.good,
            lambda part, whole: patient(part, progress if whole else None),
            on_refused=lambda refused: hold.wait_if_too_bad(sorted([*read.bad, *bad(refused)])),
        )
        if refused:
            await patient([], progress)
        return parts, bad(refused)

    @contextmanager
    def _current_batch(self, topic: str) -> Iterator[None]:
        self._standing.begin(topic)
        yield
        self._standing.end(topic)


def next_offsets(records: Sequence[ConsumerRecord]) -> dict[str, dict[int, int]]:
    """Return, by topic and partition, the offset after the last record."""
    found: dict[str, dict[int, int]] = {}
    for record in records:
        partitions = found.setdefault(record.topic, {})
        partitions[record.partition] = max(record.offset + 1, partitions.get(record.partition, 0))
    return found


def _by_kind(part: Sequence[Any]) -> tuple[list[Any], dict[str, int]]:
    """Return the upserts, and the time of the newest tombstone (epoch ms) of each deleted id."""
    deletes: dict[str, int] = {}
    for event in part:
        if isinstance(event, Tombstone):
            deletes[event.key] = max(event.time, deletes.get(event.key, event.time))
    return [event for event in part if not isinstance(event, Tombstone)], deletes


def _late(read: Read, parts: Sequence[Stored]) -> list[Bad]:
    late = frozenset[str]().union(*(part.late for part in parts))
    if not late:
        return []
    return [
        Bad(*source, "late", LATE)
        for event, source in zip(read.good, read.sources, strict=True)
        if getattr(event, "event_id", None) in late
    ]


def _announcements(parts: Sequence[Stored]) -> list[Message]:
    newest: dict[str, int] = {}
    for part in parts:
        for user_id, time in part.touched.items():
            newest[user_id] = max(time, newest.get(user_id, time))
    headers = header_of(traceparent())
    return [
        Message(
            events.USERS_TOUCHED,
            user_id.encode(),
            events.encode(events.UserTouched(user_id=user_id, event_time=events.utc(time))),
            headers,
        )
        for user_id, time in newest.items()
    ]
