"""Lag: the number of messages in each partition that are not in the graph yet, correct on every broker.

Arrives: the broker's offsets, the offsets that the group has committed, and `stream_progress`. Leaves: a number for
each partition, with a remark when broker and database do not belong together. Next: the worker's gauge
(`stream.kafka.lag_watch`), `sagestream doctor`, the dashboard.

The end of a log is the high watermark in the answer to a fetch. Rejected: the latest offset, because the embedded
broker returns the first offset of the last batch (5,000 messages: watermark 5,000 on both brokers, latest offset 5,000
on Apache Kafka and 4,946 on the embedded one). The worker and `doctor` use a consumer of their own, because a consumer
that does not fetch gets no new watermarks.

The committed offset is at most one commit interval behind SQL and never ahead of it. It is compared with
`stream_progress`: a row of another broker's log, or of another database, gives a remark and is not counted.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError
from sqlalchemy import Engine, select

from graphstore.session import read
from graphstore.tables import stream_progress
from stream.config import StreamConfig
from stream.kafka.broker import check_reachable
from stream.kafka.clients import open_consumer

TIMEOUT_SECONDS = 3.0


class PartitionLag(NamedTuple):
    """The lag of one partition. `remark` is empty or says why the numbers do not fit together."""

    topic: str
    partition: int
    behind: int
    remark: str = ""
    goes_on: bool = True
    """Whether consumption goes on by itself, in spite of the remark."""


def measure(
    config: StreamConfig, engine: Engine, topics: Sequence[str], *, timeout_seconds: float = TIMEOUT_SECONDS
) -> list[PartitionLag]:
    """Ask the broker and the database. Topics that do not exist are left out.

    Raises `KafkaError` when the broker does not answer in time, `SQLAlchemyError` when the database fails.
    """
    check_reachable(config, timeout_seconds=timeout_seconds)
    consumer = open_consumer(
        config,
        group_id=config.worker_group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=10,
        max_partition_fetch_bytes=1,  # a broker returns at least one batch
        bootstrap_timeout_ms=int(timeout_seconds * 1000),
    )
    try:
        partitions = [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        if not partitions:
            return []
        milliseconds = int(timeout_seconds * 1000)
        committed = {tp: consumer.committed(tp, timeout_ms=milliseconds) for tp in partitions}
        begins = consumer.beginning_offsets(partitions)
        ends = _high_watermarks(consumer, partitions, timeout_seconds)
    finally:
        consumer.close()
    with read(engine) as connection:  # after the committed offsets, so that SQL is never behind them by chance
        rows = {
            TopicPartition(r.topic, r.partition): r.next_offset for r in connection.execute(select(stream_progress))
        }
    return [lag_of(tp, begins[tp], ends[tp], committed[tp], rows.get(tp)) for tp in partitions]


def lag_of(tp: TopicPartition, begin: int, end: int, committed: int | None, row: int | None) -> PartitionLag:
    """Compute the lag from the log's first offset and end, the committed offset, and the next offset in SQL (`row`)."""
    beyond = committed is not None and committed > end
    done = begin if committed is None or beyond else max(committed, begin)
    remark, goes_on = "", False
    if row is not None and row > end:
        remark = f"stream_progress holds {row:,}, beyond the log's end at {end:,}: it is of another log"
        if committed is not None and not beyond:
            remark += ", created again since; the worker reads the new one from its beginning"
            goes_on = True
    elif committed is not None and beyond:
        remark = f"the group has committed {committed:,}, beyond the log's end at {end:,}: it is of another log"
    elif committed is not None and committed > max(row or 0, begin):
        remark = f"the group has committed {committed:,}, the database holds up to {row or 0:,}: it is another one"
    elif committed is not None and committed < begin:
        remark = f"{begin - committed:,} messages were deleted from the log before they were read"
    return PartitionLag(tp.topic, tp.partition, max(end - done, 0), remark, goes_on or not remark)


def _high_watermarks(
    consumer: KafkaConsumer, partitions: Sequence[TopicPartition], timeout_seconds: float
) -> dict[TopicPartition, int]:
    consumer.assign(partitions)
    # Start at the latest offset, which may be too low, so that there is little to fetch.
    for tp, latest in consumer.end_offsets(partitions).items():
        consumer.seek(tp, latest)
    deadline = time.monotonic() + timeout_seconds
    known: dict[TopicPartition, int] = {}
    while True:
        problem: Exception | None = None
        try:
            consumer.poll(timeout_ms=20, max_records=1)
        except Exception as error:  # noqa: BLE001 - each codec raises errors of its own
            problem = error
        found = {tp: int(end) for tp in partitions if (end := consumer.highwater(tp)) is not None}
        # A batch that cannot be unpacked does not matter: the watermark of its partition is known by then.
        if problem is not None and len(found) == len(known):
            raise problem
        if len(found) == len(partitions):
            return found
        known = found
        consumer.pause(*known)  # a paused partition keeps its watermark, and is not unpacked again
        if time.monotonic() > deadline:
            raise KafkaTimeoutError(f"no fetch was answered within {timeout_seconds:g} s")
