"""The worker without Faust: decodes, stores and announces each batch, with the same steps for every topic.

Arrives: lists of Kafka records. Leaves: rows and hot keys through `stream.worker.sink`, bad messages on the dead letter
queue, users on `users.touched`. Next: `serving.nearline` ranks these users again.

The order is the guarantee: a handler returns, and so acknowledges the batch, after all its results are durable. When a
service is unreachable, the current batch is retried. A single event that the store can never accept becomes a dead
letter. When too many messages are bad, the topic stops: nothing of that batch reaches the dead letter queue, nothing is
acknowledged, and a restart reads it again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from aiokafka.structs import ConsumerRecord
from prometheus_client import Counter, Gauge

from stream import events
from stream.dlq import dead_letters
from stream.dlq.dead_letters import LATE, Bad, Read, Tombstone
from stream.kafka.batch_producer import Message
from stream.worker.bisect import store_by_halves
from stream.worker.dlq_limit import DlqLimit, Excess
from stream.worker.retry import first_line, retry_until_reachable, service_of
from stream.worker.sink import Progress, Sink, Stored
from stream.worker.topic_status import TopicStatus

logger = logging.getLogger(__name__)

EVENTS = Counter("sagestream_events_total", "Messages handled by the worker", ["topic", "outcome"])
LAST_BATCH = Gauge("sagestream_worker_last_batch_timestamp_seconds", "When the worker last made a batch durable")

TOPICS = (events.INTERACTIONS, events.IMPRESSIONS, events.CATALOG, events.USERS, events.IDENTITIES)

STOPPED_LOG_SECONDS = 60.0

Clock = Callable[[], int]
Deliver = Callable[[Sequence[Message]], Awaitable[None]]
Store = Callable[[Sequence[Any], Progress | None], Stored]


class Worker:
    """One handler for each topic. `deliver` returns when the broker has the messages; `now` returns epoch ms."""

    def __init__(self, sink: Sink, deliver: Deliver, now: Clock, *, standing: TopicStatus, dead_share: float) -> None:
        self._sink = sink
        self._deliver = deliver
        self._now = now
        self._standing = standing
        self._limits = {topic: DlqLimit(share=dead_share) for topic in TOPICS}

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

    def refresh_trending(self) -> None:
        """Rebuild the trending lists. When a service is unreachable, the next tick tries again."""
        try:
            self._sink.refresh_trending(now=self._now())
        except Exception as error:
            if service_of(error) is None:
                raise
            logger.warning("trending lists not refreshed: %s", first_line(error))

    async def _work(self, topic: str, records: Sequence[ConsumerRecord], read: Read, store: Store) -> None:
        with self._current_batch(topic):
            limit = self._limits[topic]
            bad = read.bad
            await self._halt_if(limit.excess(len(records), _indices(bad)), topic, records, bad)
            parts, refused = await self._store(topic, records, read, store)
            if late := frozenset[str]().union(*(part.late for part in parts)):
                refused += _late(read, late)
            if refused:
                bad = sorted([*bad, *refused])
                await self._halt_if(limit.excess(len(records), _indices(bad)), topic, records, bad)
            limit.add(len(records), _indices(bad))
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
        self, topic: str, records: Sequence[ConsumerRecord], read: Read, store: Store
    ) -> tuple[list[Stored], list[Bad]]:
        """Store all events in one transaction with the offsets, or the events that the store accepts."""
        progress = next_offsets(records)

        async def patient(part: Sequence[Any], progress: Progress | None) -> Stored:
            async def step() -> Stored:
                # Not in an executor: this is faster (measured), and the consumer's heartbeat has its own thread.
                return store(part, progress)

            return await retry_until_reachable(step, doing="storing", topic=topic, standing=self._standing)

        def bad(refused: Sequence[tuple[int, str]]) -> list[Bad]:
            return [Bad(*read.sources[index], "refused", reason) for index, reason in refused]

        def too_many(refused: Sequence[tuple[int, str]]) -> bool:
            both = sorted(_indices(read.bad) + _indices(bad(refused)))
            return bool(refused) and self._limits[topic].excess(len(records), both) is not None

        parts, refused = await store_by_halves(
            read.good, lambda part, whole: patient(part, progress if whole else None), too_many=too_many
        )
        if refused and not too_many(refused):
            await patient([], progress)
        return parts, bad(refused)

    async def _halt_if(
        self, excess: Excess | None, topic: str, records: Sequence[ConsumerRecord], bad: Sequence[Bad]
    ) -> None:
        if excess is not None:
            at = records[excess.at]
            last = max((one for one in bad if one.batch_index <= excess.at), default=None)
            await self._halt(
                topic,
                f"{100 * excess.share:.3g} % of the last {excess.seen:,} messages are bad, stopped at partition "
                f"{at.partition} offset {at.offset}: {last.reason if last else 'as before'}",
            )

    async def _halt(self, topic: str, reason: str) -> NoReturn:
        """Keep the batch without acknowledgement until the process ends. Other topics continue."""
        self._standing.stop(topic, reason)
        while True:
            logger.error("%s is not consumed: %s", topic, reason)
            await asyncio.sleep(STOPPED_LOG_SECONDS)

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


def _indices(bad: Sequence[Bad]) -> list[int]:
    return [one.batch_index for one in bad]


def _by_kind(part: Sequence[Any]) -> tuple[list[Any], dict[str, int]]:
    """Return the upserts, and the time of the newest tombstone (epoch ms) of each deleted id."""
    deletes: dict[str, int] = {}
    for event in part:
        if isinstance(event, Tombstone):
            deletes[event.key] = max(event.time, deletes.get(event.key, event.time))
    return [event for event in part if not isinstance(event, Tombstone)], deletes


def _late(read: Read, late: frozenset[str]) -> list[Bad]:
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
    return [
        Message(
            events.USERS_TOUCHED,
            user_id.encode(),
            events.encode(events.UserTouched(user_id=user_id, event_time=events.utc(time))),
        )
        for user_id, time in newest.items()
    ]
