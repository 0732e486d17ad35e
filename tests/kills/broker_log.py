"""The broker's log, read from its beginning: what really stands on the topics.

Arrives: settings and topics. Leaves: every record, in the order of each partition.
"""

import time
from collections.abc import Collection, Iterable
from typing import NamedTuple

from kafka import TopicPartition

from stream.config import StreamConfig
from stream.kafka.clients import open_consumer

QUIET_SECONDS = 1.0
READ_SECONDS = 240.0


class Record(NamedTuple):
    """A message where it stands; `timestamp` is epoch ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class BrokerLog:
    """Follows topics from the beginning; `read` gives all that is new, without the `prefix` of the topics' names."""

    def __init__(self, config: StreamConfig, topics: Collection[str], prefix: str = "") -> None:
        self._prefix = prefix
        self._consumer = open_consumer(config, fetch_max_wait_ms=40, max_poll_records=5000)
        partitions = [
            TopicPartition(prefix + topic, number)
            for topic in topics
            for number in sorted(self._consumer.partitions_for_topic(prefix + topic) or ())
        ]
        self._consumer.assign(partitions)
        self._consumer.seek_to_beginning(*partitions)
        self._next = {(tp.topic.removeprefix(prefix), tp.partition): 0 for tp in partitions}

    def read(self, until: Iterable[tuple[str, int, int]] = ()) -> list[Record]:
        """New records: at least to the given places, then until nothing comes for a second.

        The ends that a broker tells are not asked: the embedded one tells wrong ones. A place that the log never
        reaches (it was acknowledged, and lost) is given up after some time.
        """
        wanted: dict[tuple[str, int], int] = {}
        for topic, partition, offset in until:
            wanted[topic, partition] = max(offset + 1, wanted.get((topic, partition), 0))
        found: list[Record] = []
        begun = heard = time.monotonic()
        while time.monotonic() - begun < READ_SECONDS:
            for records in self._consumer.poll(timeout_ms=200).values():
                heard = time.monotonic()
                for r in records:
                    topic = r.topic.removeprefix(self._prefix)
                    found.append(Record(topic, r.partition, r.offset, r.timestamp, r.key, r.value))
                    self._next[topic, r.partition] = r.offset + 1
            reached = all(self._next.get(place, 0) >= offset for place, offset in wanted.items())
            if time.monotonic() - heard > (QUIET_SECONDS if reached else 10 * QUIET_SECONDS):
                break
        return found

    def close(self) -> None:
        self._consumer.close()
