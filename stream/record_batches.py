"""Faust by the record batch: an agent gets each partition's fetched list at once instead of one record after another.

Arrives: what one fetch brought, as lists of Kafka records by partition. Leaves: the same lists, in an agent's stream,
acknowledged when the agent's body came through. Next: `stream.app`.

Stock Faust makes tasks, coroutines and objects for every single record, some 60 µs of CPU an event before any work is
done, and no setting changes that. Here a fetched list travels as one message (`RecordBatch`), so that cost is paid
once a batch. The guarantee stays at least once: a batch is acknowledged only after the body ran for it, and offsets
are committed only up to the first batch not yet acknowledged. Stock `take` acknowledges a batch whose body raised, and
loses it. All other topics (tables, timers, other agents) go Faust's usual way.

Limits: one stream an agent (concurrency 1), no `group_by`, no typed values on a batched topic. Private names of Faust
and aiokafka are used: `PRIVATE_NAMES` lists them, a test holds the installed versions to the list, and both versions
are pinned.
"""

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import faust
from aiokafka.structs import ConsumerRecord
from faust.serializers.schemas import Schema
from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

PRIVATE_NAMES = {
    driver.Consumer: ("_new_offset", "_add_gap", "_to_message", "_new_consumer_thread", "on_partitions_revoked"),
    driver.AIOKafkaConsumerThread: ("_create_worker_consumer",),
    faust.App: ("_new_transport",),
    DefaultSchedulingStrategy: ("iterate",),
}
"""What is overridden, by class."""

MAX_RECORDS = 1000
"""The largest batch that one fetch gives."""

STREAM_BUFFER = 32
"""Batches waiting in a stream: bounds memory, and what a crash delivers again."""


class RecordBatch:
    """One partition's fetched records, in the shape of a single Kafka record.

    `value` is the list of records and `offset` the last one's, so that acknowledging the batch acknowledges them all.
    """

    __slots__ = ("first_offset", "offset", "partition", "timestamp", "topic", "value")

    timestamp_type = 0
    headers = key = checksum = None
    serialized_key_size = serialized_value_size = 0

    def __init__(self, tp: TP, records: list[ConsumerRecord]) -> None:
        self.topic: str = tp.topic
        self.partition: int = tp.partition
        self.first_offset: int = records[0].offset
        self.offset: int = records[-1].offset
        self.timestamp: int = records[-1].timestamp
        self.value = records


class _BatchScheduler(DefaultSchedulingStrategy):
    """Yields one `RecordBatch` a partition of a batched topic, and single records of all others."""

    def __init__(self, batched: set[str]) -> None:
        self._batched = batched

    def iterate(self, records: Mapping[TP, list[ConsumerRecord]]) -> Iterator[tuple[TP, Any]]:
        single = {}
        for tp, fetched in records.items():
            if tp.topic not in self._batched:
                single[tp] = fetched
            elif fetched:
                yield tp, RecordBatch(tp, fetched)
        if single:
            yield from super().iterate(single)


class _BatchSchema(Schema[Any, Any]):
    """Decodes nothing: the agent gets the records as they came."""

    def compile(self, app: Any, **_: Any) -> Any:
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return create_event(None, message.value, None, message)

        return decode


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust has no setting for the wait of a fetch: it is 1,500 ms, and the embedded broker sleeps half of it."""

    app: Any  # a BatchApp

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = self.app.fetch_wait_ms
        return consumer


class _BatchConsumer(driver.Consumer):
    """Commits a batched topic by whole batches, in the order in which they were delivered."""

    app: Any  # a BatchApp

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Last offsets of the batches delivered and not yet committed, by partition. Made first: the parent's
        # constructor already calls methods below.
        self._delivered: dict[TP, deque[int]] = defaultdict(deque)
        super().__init__(*args, **kwargs)
        self.scheduler = _BatchScheduler(self.app.batched_topics)

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Any) -> Any:
        if isinstance(record, RecordBatch):
            delivered = self._delivered[tp]
            while delivered and delivered[-1] >= record.first_offset:  # read again after a seek
                delivered.pop()
            delivered.append(record.offset)
            if record.first_offset <= (self._read_offset[tp] or 0):
                # Else Faust drops a batch that, read again, ends before the first reading did.
                self._read_offset[tp] = None
        return super()._to_message(tp, record)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if tp.topic not in self.app.batched_topics:  # the offsets inside a batch are no gap
            await super()._add_gap(tp, offset_from, offset_to)

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit: behind the last batch that is acknowledged together with all before it."""
        if tp.topic not in self.app.batched_topics:
            offset: int | None = super()._new_offset(tp)
            return offset
        acked, delivered, new = self._acked_index[tp], self._delivered[tp], None
        while delivered and delivered[0] in acked:
            new = delivered.popleft() + 1
        if new is not None:
            self._acked[tp] = [offset for offset in self._acked[tp] if offset >= new]
            self._acked_index[tp] = set(self._acked[tp])
        return new

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        for tp in revoked:
            self._delivered.pop(tp, None)
        await super().on_partitions_revoked(revoked)


class _BatchTransport(driver.Transport):
    Consumer = _BatchConsumer


class BatchApp(faust.App):
    """A Faust app with batched topics beside ordinary ones. `fetch_wait_ms` is how long a fetch may wait."""

    def __init__(self, *args: Any, fetch_wait_ms: int, **kwargs: Any) -> None:
        self.fetch_wait_ms = fetch_wait_ms
        self.batched_topics: set[str] = set()
        settings = {
            "broker_max_poll_records": MAX_RECORDS,
            "stream_buffer_maxsize": STREAM_BUFFER,
            "broker_check_crcs": False,
        }
        super().__init__(*args, **{**settings, **kwargs})

    def _new_transport(self) -> _BatchTransport:
        return _BatchTransport(self.conf.broker_consumer, self)

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
        yield [record for event in events for record in event.value]
        for event in events:
            await stream.ack(event)
