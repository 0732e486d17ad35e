"""Faust by the record batch: an agent gets each partition's fetched list at once instead of one record after another.

Arrives: what one fetch brought, as lists of Kafka records by partition. Leaves: the same lists, in an agent's stream,
acknowledged when the agent's body came through. Next: `stream.worker.app`.

Stock Faust makes tasks, coroutines and objects for every single record, some 60 µs of CPU an event before any work is
done, and no setting changes that. Here a fetched list travels as one message (`RecordBatch`), so that cost is paid
once a batch. All other topics (tables, timers, other agents) go Faust's usual way.

The guarantee: no offset is committed past a record that the agent's body did not finish.

- A batch is acknowledged by identity: `record_batches` marks the very object whose body came through. Stock Faust goes
  by offset numbers, so that a batch of before a rebalance, finished late or merely skipped (the pure Python stream
  acknowledges what it skips), could acknowledge its second reading, which nobody has worked on yet.
- Offsets are committed up to the first batch that is not finished, in the order of delivery.
- What a rebalance takes away is stale: not worked on, not acknowledged, read again from the committed offset. Faust
  seeks there, but not on a partition without a committed offset, where what was fetched meanwhile would be skipped:
  there we seek to the beginning.
- Each batch knows which offset was fetched before it. If that one was never delivered, the worker stops (`LostBatch`)
  and begins again at the committed offset: a fault of that kind becomes a restart, never a loss.

Memory is bounded by `MAX_WAITING_BYTES` a topic: its partitions are not read while so much waits for the agent, and
the other topics go on. Faust's own bound counts messages, and once it is reached it holds up all topics.

Limits: one stream an agent (concurrency 1), no `group_by`, no typed values on a batched topic. Private names of Faust
and aiokafka are used: `PRIVATE_NAMES` lists them, a test holds the installed versions to the list, and both versions
are pinned.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable
from typing import Any

import faust
from aiokafka.structs import ConsumerRecord
from faust.serializers.schemas import Schema
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

PRIVATE_NAMES = {
    driver.Consumer: (
        "_getmany",
        "_to_message",
        "_new_offset",
        "_new_consumer_thread",
        "on_partitions_revoked",
        "on_partitions_assigned",
    ),
    driver.AIOKafkaConsumerThread: ("_create_worker_consumer", "_fetch_records", "_ensure_consumer", "call_thread"),
    driver.Producer: ("_ensure_producer",),
    faust.App: ("_new_transport", "maybe_start_producer"),
}
"""What is overridden or called, by class."""

PRIVATE_STATE = ("_acked", "_acked_index", "_committed_offset", "_read_offset")
"""Attributes of Faust's consumer that are read or written."""

MAX_RECORDS = 1000
"""The largest batch that one fetch gives."""

MAX_WAITING_BYTES = 16 * 2**20
"""What may wait for the agent of one topic: some 30,000 events of 200 bytes."""

RECORD_BYTES = 330
"""What a record takes in memory beside its value (measured, with a key of 10 bytes)."""

FULL_TIMEOUT_SECONDS = 0.05
"""How long one fetch for the other topics may take while a topic is full: soon it is not."""


DRAIN_SECONDS = 2.0
"""How long a worker that stops waits for the batches that its agents are at."""


class LostBatch(RuntimeError):
    """A fetched batch did not reach the stream: going on would commit past it."""


class RecordBatch:
    """One partition's fetched records, in the shape of a single Kafka record whose offset is the last one's.

    `follows` is the offset fetched before the first of them, None at the first fetch after an assignment or a seek.
    `begun`: in the agent's hands. `finished`: its body came through. `stale`: taken away by a rebalance, somebody reads
    it again.
    """

    __slots__ = (
        "begun",
        "finished",
        "first_offset",
        "follows",
        "offset",
        "partition",
        "records",
        "size",
        "stale",
        "timestamp",
        "topic",
    )

    timestamp_type = 0
    headers = key = checksum = None
    serialized_key_size = serialized_value_size = 0

    def __init__(self, tp: TP, records: list[ConsumerRecord], *, follows: int | None = None) -> None:
        self.topic: str = tp.topic
        self.partition: int = tp.partition
        self.first_offset: int = records[0].offset
        self.offset: int = records[-1].offset
        self.timestamp: int = records[-1].timestamp
        self.records = records
        self.size = RECORD_BYTES * len(records) + sum([len(record.value or b"") for record in records])
        self.follows = follows
        self.begun = False
        self.finished = False
        self.stale = False

    def finish(self) -> None:
        """The agent's body came through; the records are not needed any more."""
        self.finished = True
        self.records = []

    @property
    def value(self) -> "RecordBatch":
        """The message's value, that the agent's stream hands on."""
        return self


class _BatchSchema(Schema[Any, Any]):
    """Decodes nothing: the agent gets the records as they came."""

    def compile(self, app: Any, **_: Any) -> Any:
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return create_event(None, message.value, None, message)

        return decode


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to the broker: makes the batches, and seeks where Faust does not."""

    app: Any  # a BatchApp

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The last offset fetched, by partition, and the assignment in which that was.
        self._fetched: dict[TP, tuple[object, int]] = {}

    def _create_worker_consumer(self, transport: Any) -> Any:
        # Faust has no setting for the wait of a fetch: it is 1,500 ms, and the embedded broker sleeps half of it.
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = self.app.fetch_wait_ms
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> dict[TP, list[Any]]:
        fetched = await super()._fetch_records(consumer, *args, **kwargs)
        subscription = consumer._subscription.subscription
        assignment = subscription and subscription.assignment  # another object after each rebalance
        return {
            tp: [self._batch(tp, records, assignment)] if tp.topic in self.app.batched_topics else records
            for tp, records in fetched.items()
            if records
        }

    def _batch(self, tp: TP, records: list[ConsumerRecord], assignment: object) -> RecordBatch:
        then, last = self._fetched.get(tp, (None, -1))
        goes_on = then is assignment and records[0].offset > last  # else a seek back lies between
        self._fetched[tp] = (assignment, records[-1].offset)
        return RecordBatch(tp, records, follows=last if goes_on else None)

    async def seek_to_committed(self) -> Any:
        committed = await super().seek_to_committed()
        never = [tp for tp, offset in committed.items() if not offset]
        if never:
            await self.call_thread(self._ensure_consumer().seek_to_beginning, *never)
        return committed


class _BatchConsumer(driver.Consumer):
    """Commits a batched topic by whole batches, in the order in which they were delivered."""

    app: Any  # a BatchApp

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Batches delivered to the stream and not yet committed, and the last offset delivered, by partition. Made
        # first: the parent's constructor already calls methods below.
        self._delivered: dict[TP, deque[RecordBatch]] = defaultdict(deque)
        self._last_offset: dict[TP, int] = {}
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        full = self._full_topics()
        if not full:
            return await super()._getmany(active_partitions, timeout)
        others = {tp for tp in active_partitions if tp.topic not in full}
        if not others:  # to aiokafka, none means all
            await self.sleep(FULL_TIMEOUT_SECONDS)
            return {}
        return await super()._getmany(others, min(timeout, FULL_TIMEOUT_SECONDS))

    def _full_topics(self) -> set[str]:
        waiting: dict[str, int] = defaultdict(int)
        for tp, delivered in self._delivered.items():
            waiting[tp.topic] += sum(batch.size for batch in delivered if not batch.finished)
        return {topic for topic, size in waiting.items() if size >= MAX_WAITING_BYTES}

    def _to_message(self, tp: TP, record: Any) -> Any:
        if isinstance(record, RecordBatch):
            self._deliver(tp, record)
        return super()._to_message(tp, record)

    def _deliver(self, tp: TP, batch: RecordBatch) -> None:
        if batch.follows is not None and batch.follows != self._last_offset.get(tp):
            raise LostBatch(
                f"{tp.topic}/{tp.partition}: offset {batch.follows} was fetched before {batch.first_offset}, "
                f"but the last one delivered is {self._last_offset.get(tp)}"
            )
        delivered = self._delivered[tp]
        while delivered and delivered[-1].first_offset >= batch.first_offset:  # read again after a seek
            delivered.pop().stale = True
        delivered.append(batch)
        self._last_offset[tp] = batch.offset
        # Faust would drop what it takes for read before, and note the offsets inside a batch as gaps.
        self._read_offset[tp] = None

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit: behind the last batch that is finished together with all before it."""
        if tp.topic not in self.app.batched_topics:
            offset: int | None = super()._new_offset(tp)
            return offset
        delivered, new = self._delivered[tp], None
        while delivered and delivered[0].finished:
            new = delivered.popleft().offset + 1
        # Faust's lists only tell that there may be something to commit.
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return new

    async def drain(self, seconds: float) -> None:
        """Wait until the agents are through with what they have in hand, but no longer than this."""
        deadline = self.loop.time() + seconds
        while self.loop.time() < deadline and any(
            batch.begun and not batch.finished for delivered in self._delivered.values() for batch in delivered
        ):
            await asyncio.sleep(0.02)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self._forget(revoked)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._forget(list(self._delivered))
        # A commit that was under way, and refused, has left its offset here: what follows would not be committed.
        self._committed_offset.clear()
        await super().on_partitions_assigned(assigned, generation_id)

    def _forget(self, partitions: Iterable[TP]) -> None:
        for tp in partitions:
            for batch in self._delivered.pop(tp, ()):
                batch.stale = True
            self._last_offset.pop(tp, None)


class _BatchTransport(driver.Transport):
    Consumer = _BatchConsumer


class BatchApp(faust.App):
    """A Faust app with batched topics beside ordinary ones. `fetch_wait_ms` is how long a fetch may wait.

    A partition without a committed offset is read from its beginning.
    """

    def __init__(self, *args: Any, fetch_wait_ms: int, **kwargs: Any) -> None:
        self.fetch_wait_ms = fetch_wait_ms
        self.batched_topics: set[str] = set()
        settings = {
            "consumer_auto_offset_reset": "earliest",
            "broker_max_poll_records": MAX_RECORDS,
            "broker_check_crcs": False,
            "stream_buffer_maxsize": 1_000_000,  # never reached: see MAX_WAITING_BYTES
        }
        super().__init__(*args, **{**settings, **kwargs})

    async def on_stop(self) -> None:
        """Stop fetching, then let the agents finish what they have in hand; Faust stops them next, and commits."""
        await super().on_stop()
        if isinstance(self._consumer, _BatchConsumer):
            await self._consumer.drain(DRAIN_SECONDS)

    def _new_transport(self) -> _BatchTransport:
        return _BatchTransport(self.conf.broker_consumer, self)

    async def aiokafka_producer(self) -> Any:
        """The producer under Faust's own, running: it can send whole batches."""
        producer = await self.maybe_start_producer()
        return producer._ensure_producer()

    def batch_topic(self, name: str, partitions: int) -> Any:
        """A topic whose agents iterate with `record_batches`."""
        self.batched_topics.add(name)
        return self.topic(name, schema=_BatchSchema(), partitions=partitions)


async def record_batches(
    stream: Any, *, max_batches: int, within_seconds: float
) -> AsyncIterator[list[ConsumerRecord]]:
    """Records of up to `max_batches` fetched batches, gathered for at most `within_seconds`, until the app stops.

    They are acknowledged when the consumer asks for the next list: a body that raises leaves them unacknowledged.
    """
    async for events in stream.noack_take(max_batches, within=within_seconds):
        current = [event.value for event in events if not event.value.stale]
        for batch in current:
            batch.begun = True
        if current:
            yield [record for batch in current for record in batch.records]
        for batch in current:
            batch.finish()
        for event in events:  # for Faust's own books
            await stream.ack(event)
