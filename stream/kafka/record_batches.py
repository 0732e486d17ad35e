"""Record batches for Faust: an agent gets the fetched records of a partition as one list instead of one by one.

Arrives: the records of one fetch, as lists by partition. Leaves: the same lists in an agent's stream. A list is
acknowledged when the agent's body has finished it. Next: `stream.worker.app`.

Stock Faust makes tasks, coroutines and objects for every record: about 60 µs of CPU for each event before any work,
and no setting changes that. Here a fetched list is one message (`RecordBatch`), so this cost occurs once per batch.
Other topics (tables, timers, other agents) use Faust as usual.

The guarantee: no offset is committed past a record that the agent's body did not finish.

- A batch is acknowledged by identity: `record_batches` marks the object that the body finished. Stock Faust uses offset
  numbers: a batch from before a rebalance that finishes late, or is skipped, could acknowledge the second reading of
  the same records before it is processed.
- Offsets are committed up to the first unfinished batch, in the order of delivery.
- A rebalance makes the batches of revoked partitions stale: they are neither processed nor acknowledged, and their
  records are read again from the committed offset. Faust seeks there, except on a partition without a committed offset.
  On such a partition this module seeks to the beginning.
- Each batch knows the offset that was fetched before it. If that offset was never delivered, the worker stops
  (`LostBatch`) and restarts at the committed offset. So such a fault causes a restart and never a loss.

Memory is bounded by `MAX_WAITING_BYTES` for each topic: its partitions are not fetched while that much waits for the
agent; other topics continue. Faust's own limit counts messages and stops all topics.

Limits: one stream per agent (concurrency 1), no `group_by`, no typed values on a batched topic. The module uses private
names of Faust and aiokafka. `PRIVATE_NAMES` lists them, a test compares the list with the installed versions, and both
versions are pinned.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable
from typing import Any

import faust
from aiokafka.structs import ConsumerRecord
from faust.serializers.schemas import Schema
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.kafka import unreadable_batches
from stream.kafka.topics import IDLE_SECONDS

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
    faust.Stream: ("_enable_passive",),
}
"""The private methods that are overridden or called, by class."""

PRIVATE_STATE = ("_acked", "_acked_index", "_committed_offset", "_read_offset")
"""The private attributes of Faust's consumer that are read or written."""

MAX_RECORDS = 1000
"""The largest number of records in one fetch."""

MAX_WAITING_BYTES = 16 * 2**20
"""The bytes that may wait for the agent of one topic: about 30,000 events of 200 bytes."""

RECORD_BYTES = 330
"""The memory of a record without its value (measured, with a key of 10 bytes)."""

FULL_TIMEOUT_SECONDS = 0.05
"""The longest fetch for other topics while one topic is full, because it has room again soon."""


DRAIN_SECONDS = 2.0
"""The time that a stopping worker waits for the batches in its agents."""


class LostBatch(RuntimeError):
    """A fetched batch did not reach the stream. To continue would commit past it."""


class RecordBatch:
    """The fetched records of one partition, in the form of a single Kafka record with the offset of the last one.

    `follows` is the offset that was fetched before the first record; None at the first fetch after an assignment or a
    seek. `begun`: the agent has the batch. `finished`: the agent's body has finished it. `stale`: a rebalance revoked
    it, and its records are read again.
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
        """Mark the batch as finished by the agent's body, and drop its records."""
        self.finished = True
        self.records = []

    @property
    def value(self) -> "RecordBatch":
        """The value of the message, which the agent's stream returns."""
        return self


class _BatchSchema(Schema[Any, Any]):
    """Decodes nothing: the agent gets the raw records."""

    def compile(self, app: Any, **_: Any) -> Any:
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return create_event(None, message.value, None, message)

        return decode


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to the broker: it makes the batches and seeks where Faust does not."""

    app: Any  # a BatchApp

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # By partition: the assignment, and the last offset that was fetched in it.
        self._fetched: dict[TP, tuple[object, int]] = {}
        self._last_found = time.monotonic()

    def _create_worker_consumer(self, transport: Any) -> Any:
        # Faust has no setting for the fetch wait. It is 1,500 ms, and the embedded broker sleeps half of that.
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = self.app.fetch_wait_ms
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> dict[TP, list[Any]]:
        fetched = await super()._fetch_records(consumer, *args, **kwargs)
        self._set_fetch_wait(consumer, found=any(fetched.values()))
        subscription = consumer._subscription.subscription
        assignment = subscription and subscription.assignment  # another object after each rebalance
        return {
            tp: [self._batch(tp, records, assignment)] if tp.topic in self.app.batched_topics else records
            for tp, records in fetched.items()
            if records
        }

    def _set_fetch_wait(self, consumer: Any, *, found: bool) -> None:
        """Ask the broker less often while no records come."""
        now = time.monotonic()
        if found:
            self._last_found = now
        idle = now - self._last_found > IDLE_SECONDS
        consumer._fetcher._fetch_max_wait_ms = self.app.idle_fetch_wait_ms if idle else self.app.fetch_wait_ms

    def _batch(self, tp: TP, records: list[ConsumerRecord], assignment: object) -> RecordBatch:
        then, last = self._fetched.get(tp, (None, -1))
        continues = then is assignment and records[0].offset > last  # else there was a seek back
        self._fetched[tp] = (assignment, records[-1].offset)
        return RecordBatch(tp, records, follows=last if continues else None)

    async def seek_to_committed(self) -> Any:
        committed = await super().seek_to_committed()
        never = [tp for tp, offset in committed.items() if not offset]
        if never:
            await self.call_thread(self._ensure_consumer().seek_to_beginning, *never)
        return committed


class _BatchConsumer(driver.Consumer):
    """Commits a batched topic by whole batches, in the order of delivery."""

    app: Any  # a BatchApp

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # By partition: the delivered batches that are not committed yet, and the last delivered offset. Made first,
        # because the parent's constructor calls methods below.
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
        if not others:  # aiokafka reads an empty set as all partitions
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
        if batch.offset < (self._committed_offset[tp] or 0):
            # The log is a new one, from its beginning. Faust would commit nothing before the offset of the old one.
            self._committed_offset[tp] = None
        delivered.append(batch)
        self._last_offset[tp] = batch.offset
        # Otherwise Faust drops records that it takes for old, and notes the offsets inside a batch as gaps.
        self._read_offset[tp] = None

    def _new_offset(self, tp: TP) -> int | None:
        """Return the offset to commit: after the last batch that is finished together with all batches before it."""
        if tp.topic not in self.app.batched_topics:
            offset: int | None = super()._new_offset(tp)
            return offset
        delivered, new = self._delivered[tp], None
        while delivered and delivered[0].finished:
            new = delivered.popleft().offset + 1
        # Faust uses its own lists only to see that there may be something to commit.
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return new

    async def drain(self, seconds: float) -> None:
        """Wait until the agents have finished their current batches, at most `seconds`."""
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
        # A refused commit has left its offset here, which would block the next commits.
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
    """A Faust app with batched and ordinary topics. `fetch_wait_ms` is the longest wait of a fetch, and
    `idle_fetch_wait_ms` the same while no records come.

    A partition without a committed offset is read from its beginning.
    """

    def __init__(self, *args: Any, fetch_wait_ms: int, idle_fetch_wait_ms: int | None = None, **kwargs: Any) -> None:
        unreadable_batches.install()
        self.fetch_wait_ms = fetch_wait_ms
        self.idle_fetch_wait_ms = fetch_wait_ms if idle_fetch_wait_ms is None else idle_fetch_wait_ms
        self.batched_topics: set[str] = set()
        settings = {
            "consumer_auto_offset_reset": "earliest",
            "broker_max_poll_records": MAX_RECORDS,
            "broker_check_crcs": False,  # `unreadable_batches` checks them
            "stream_buffer_maxsize": 1_000_000,  # never reached: see MAX_WAITING_BYTES
        }
        super().__init__(*args, **{**settings, **kwargs})

    async def on_stop(self) -> None:
        """Stop fetching and let the agents finish their batches. Then Faust stops the agents and commits."""
        await super().on_stop()
        if isinstance(self._consumer, _BatchConsumer):
            await self._consumer.drain(DRAIN_SECONDS)

    def _new_transport(self) -> _BatchTransport:
        return _BatchTransport(self.conf.broker_consumer, self)

    async def aiokafka_producer(self) -> Any:
        """Return the running aiokafka producer below Faust's own, which can send whole batches."""
        producer = await self.maybe_start_producer()
        return producer._ensure_producer()

    def batch_topic(self, name: str, partitions: int) -> Any:
        """Return a topic whose agents iterate with `record_batches`."""
        self.batched_topics.add(name)
        return self.topic(name, schema=_BatchSchema(), partitions=partitions)


async def record_batches(
    stream: Any, *, max_batches: int, within_seconds: float
) -> AsyncIterator[list[ConsumerRecord]]:
    """Yield the records of up to `max_batches` fetched batches, gathered for at most `within_seconds`.

    The records are acknowledged when the body asks for the next list. A body that raises leaves them unacknowledged.
    """
    gathering = _Gathering(stream, max_batches)
    try:
        while events := await gathering.take(within_seconds):
            current = [event.value for event in events if not event.value.stale]
            for batch in current:
                batch.begun = True
            if current:
                yield [record for batch in current for record in batch.records]
            for batch in current:
                batch.finish()
            for event in events:  # for Faust's own accounting
                await stream.ack(event)
    finally:
        gathering.close()


class _Gathering:
    """The events that a stream has delivered and the agent has not taken yet, at most `max_events`.

    Faust's `noack_take` does the same, but it wakes at each end of its interval, also when nothing came: five idle
    agents took a percent of a core.
    """

    def __init__(self, stream: Any, max_events: int) -> None:
        self._stream = stream
        self._max_events = max_events
        self._events: list[Any] = []
        self._arrived, self._full, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._acks = stream.enable_acks
        stream.enable_acks = False  # `record_batches` acknowledges
        stream.add_processor(self._add)
        stream._enable_passive(aiter(stream.channel))

    async def _add(self, value: Any) -> Any:
        """Take the stream's next event, when there is room."""
        self._events.append(self._stream.current_event)
        self._arrived.set()
        if len(self._events) >= self._max_events:
            self._full.set()
            self._room.clear()
            await self._stream.wait(self._room)
        return value

    async def take(self, within_seconds: float) -> list[Any]:
        """Wait for an event, then for more, at most `within_seconds`. Return none when the stream stops."""
        if not await self._stream.wait_for_stopped(self._arrived):
            await self._stream.wait_for_stopped(self._full, timeout=within_seconds)
        taken, self._events = self._events, []
        self._arrived.clear()
        self._full.clear()
        self._room.set()
        return taken

    def close(self) -> None:
        self._stream.enable_acks = self._acks
        self._stream._processors.remove(self._add)
