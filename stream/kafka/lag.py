"""Lag: how many messages of each partition are not in the graph yet, right on every broker.

Arrives: the broker's word about its logs and about what the group has committed, and `stream_progress`. Leaves: a
number a partition, and a remark where the two logs cannot be the same. Next: the worker's gauge, `sagestream doctor`.

The end of a log is the high watermark that comes with a fetch. The embedded broker answers a request for the latest
offset with the first offset of the last batch, which is too low; its watermarks are right, and so are Apache Kafka's
(on both brokers, 5,000 messages in batches: watermark 5,000, latest offset 5,000 on Kafka and 4,946 on the other).
Worker and doctor ask by themselves, because a consumer that stands still learns no new watermarks.

What is done is what the group has committed: at most a commit interval behind what is in SQL, and never ahead of it.
`stream_progress` is compared with it: rows of another broker's log, or a database that is not the one that the group
wrote to, are told instead of being counted.
"""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError
from prometheus_client import Gauge
from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from graphstore.session import read
from graphstore.tables import stream_progress
from stream.config import StreamConfig
from stream.kafka.topics import connection_settings

logger = logging.getLogger(__name__)

LAG = Gauge("sagestream_lag_messages", "Messages of the topic that are not in the graph yet", ["topic", "partition"])

INTERVAL_SECONDS = 10.0
TIMEOUT_SECONDS = 3.0


class PartitionLag(NamedTuple):
    """How far behind one partition is; `remark` is empty or says what does not fit."""

    topic: str
    partition: int
    behind: int
    remark: str = ""


def measure(
    config: StreamConfig, engine: Engine, topics: Sequence[str], *, timeout_seconds: float = TIMEOUT_SECONDS
) -> list[PartitionLag]:
    """Ask broker and database. Topics that do not exist are left out.

    Raises `KafkaError` where the broker does not answer in time, `SQLAlchemyError` where the database does not.
    """
    consumer = KafkaConsumer(
        group_id=config.worker_group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=10,
        max_partition_fetch_bytes=1,  # a broker gives one batch at least
        bootstrap_timeout_ms=int(timeout_seconds * 1000),
        **connection_settings(config),
    )
    try:
        partitions = [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        if not partitions:
            return []
        committed = {tp: consumer.committed(tp) for tp in partitions}
        begins = consumer.beginning_offsets(partitions)
        ends = _high_watermarks(consumer, partitions, timeout_seconds)
    finally:
        consumer.close()
    with read(engine) as connection:  # after the committed offsets, so that it is never behind them by mere chance
        rows = {
            TopicPartition(r.topic, r.partition): r.next_offset for r in connection.execute(select(stream_progress))
        }
    return [lag_of(tp, begins[tp], ends[tp], committed[tp], rows.get(tp)) for tp in partitions]


def lag_of(tp: TopicPartition, begin: int, end: int, committed: int | None, row: int | None) -> PartitionLag:
    """From the log's first offset and its end, what the group has committed, and the next offset in SQL."""
    beyond = committed is not None and committed > end
    done = begin if committed is None or beyond else max(committed, begin)
    remark = ""
    if row is not None and row > end:
        remark = f"stream_progress holds {row:,}, beyond the log's end at {end:,}: it is of another log"
    elif committed is not None and beyond:
        remark = f"the group has committed {committed:,}, beyond the log's end at {end:,}: it is of another log"
    elif committed is not None and committed > max(row or 0, begin):
        remark = f"the group has committed {committed:,}, the database holds up to {row or 0:,}: it is another one"
    elif committed is not None and committed < begin:
        remark = f"{begin - committed:,} messages were deleted from the log before they were read"
    return PartitionLag(tp.topic, tp.partition, max(end - done, 0), remark)


def _high_watermarks(
    consumer: KafkaConsumer, partitions: Sequence[TopicPartition], timeout_seconds: float
) -> dict[TopicPartition, int]:
    consumer.assign(partitions)
    # As far back as the latest offset is wrong, and no further: there is little to fetch.
    for tp, latest in consumer.end_offsets(partitions).items():
        consumer.seek(tp, latest)
    deadline = time.monotonic() + timeout_seconds
    while True:
        consumer.poll(timeout_ms=20, max_records=1)
        found = {tp: consumer.highwater(tp) for tp in partitions}
        if all(end is not None for end in found.values()):
            return {tp: int(end) for tp, end in found.items() if end is not None}
        if time.monotonic() > deadline:
            raise KafkaTimeoutError(f"no fetch was answered within {timeout_seconds:g} s")


class LagWatch:
    """A thread that keeps the gauge up to date until it is closed. `topics` are those of the worker."""

    def __init__(self, config: StreamConfig, engine: Engine, topics: Sequence[str]) -> None:
        self._ask = (config, engine, topics)
        self._stop = threading.Event()
        self._told = ""
        self._thread = threading.Thread(target=self._run, name="lag", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask no more; a question under way ends by itself."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            try:
                self._show(measure(*self._ask, timeout_seconds=INTERVAL_SECONDS))
            except (KafkaError, SQLAlchemyError, OSError) as error:
                logger.warning("lag unknown: %s", str(error).partition("\n")[0])

    def _show(self, lags: Iterable[PartitionLag]) -> None:
        remarks = []
        for lag in lags:
            LAG.labels(lag.topic, lag.partition).set(lag.behind)
            if lag.remark:
                remarks.append(f"{lag.topic}/{lag.partition}: {lag.remark}")
        told = "; ".join(remarks)
        if told and told != self._told:
            logger.warning("%s", told)
        self._told = told
