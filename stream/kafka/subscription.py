"""Subscription: a consumer of one topic that reconnects after the broker was unreachable.

Arrives: the settings of Kafka. Leaves: records, in order within a partition, at least once.
Next: `serving.publisher` and `serving.nearline`.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from kafka import KafkaConsumer
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError

from graphstore.errors import reason
from stream.config import StreamConfig
from stream.kafka.broker import check_reachable
from stream.kafka.topics import FETCH_MAX_WAIT_MS, connection_settings
from stream.probe import OK

logger = logging.getLogger(__name__)

SESSION_MS = 6_000
HEARTBEAT_MS = 1_000
COMMIT_MS = 1_000
BOOTSTRAP_MS = 10_000
METADATA_MS = 5_000
"""A member that joins before the topic's metadata arrive gets no partition until the next refresh. The default is five
minutes."""
REQUEST_MS = 10_000
"""A fetch without an answer is repeated after this time. The default is thirty seconds."""
SETTLE_SECONDS = 12.0
"""A member without a partition joins again after this time, then after twice the time. With more members than
partitions some members rightly have none."""
RECONNECT_SECONDS = 1.0


class Subscription:
    """One topic for one consumer group, from the earliest record that the group has not committed.

    `poll` commits the offsets of the records that an earlier `poll` returned, so the caller must finish a batch before
    it polls again. After a crash the records of the last second come twice. A new group starts at EARLIEST, because
    readers are idempotent and some brokers answer LATEST wrongly. Sessions are short, because a join on the embedded
    broker waits for half of one.
    """

    def __init__(
        self,
        config: StreamConfig,
        topic: str,
        *,
        group: str,
        max_records: int,
        stop: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._topic = topic
        self._group = group
        self._max_records = max_records
        self._stop = stop
        self._clock = clock
        self._consumer: KafkaConsumer | None = None
        self.settle_seconds = SETTLE_SECONDS
        """How long this member waits without a partition before it joins anew."""
        self._idle_since = clock()
        """The time when this member last had a partition or began to wait for one."""
        self.error: str | None = None
        """The error of the broker; None while it answers."""
        self.assigned = False
        """Whether this member has partitions. A join takes seconds."""

    @property
    def state(self) -> str:
        """The state for a probe: ok, or the reason."""
        return self.error or (OK if self.assigned else "waiting for its partitions")

    def poll(self, timeout_seconds: float) -> Sequence[ConsumerRecord]:
        """Return the new records, at most after the timeout; no records while the broker is unreachable (logged
        once)."""
        try:
            if self._consumer is None:
                self._consumer = self._connect()
                self._idle_since = self._clock()
            found = self._consumer.poll(timeout_ms=int(timeout_seconds * 1000))
            self.assigned = bool(self._consumer.assignment())
            self._join_anew_if_unsettled()
        except KafkaError as error:
            if self.error is None:
                logger.error("the topic %s cannot be followed, trying on: %s", self._topic, error)
            return self._wait(reason(error))
        except Exception as error:  # a batch that cannot be unpacked: each codec raises errors of its own
            if self.error is None:
                logger.exception("the topic %s has an unreadable batch, at one of %s", self._topic, self._positions())
            return self._wait(f"a batch cannot be unpacked: {reason(error)}")
        if self.error is not None:
            logger.info("the topic %s is followed again", self._topic)
            self.error = None
        return [record for records in found.values() for record in records]

    def close(self) -> None:
        """Commit the handled records and leave the group."""
        if self._consumer is not None:
            try:
                self._consumer.close()
            except KafkaError as error:
                logger.warning("the group %s was not left in order: %s", self._group, error)
            self._consumer = None

    def _wait(self, problem: str) -> Sequence[ConsumerRecord]:
        self.error = problem
        self._stop.wait(RECONNECT_SECONDS)
        return []

    def _positions(self) -> str:
        """Return the next offset of each partition. A partition with an unreadable batch stays there."""
        positions = {tp: self._consumer.position(tp) for tp in self._consumer.assignment()} if self._consumer else {}
        return ", ".join(f"partition {tp.partition} offset {offset}" for tp, offset in sorted(positions.items()))

    def _join_anew_if_unsettled(self) -> None:
        if self.assigned:
            self._idle_since, self.settle_seconds = self._clock(), SETTLE_SECONDS
        elif self._clock() - self._idle_since >= self.settle_seconds:
            logger.warning(
                "the group %s gave no partition of %s for %g s: joining anew",
                self._group,
                self._topic,
                self.settle_seconds,
            )
            self.settle_seconds *= 2
            self.close()

    def _connect(self) -> KafkaConsumer:
        check_reachable(self._config)
        return KafkaConsumer(
            self._topic,
            group_id=self._group,
            auto_offset_reset="earliest",
            enable_auto_commit=True,
            auto_commit_interval_ms=COMMIT_MS,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_records=self._max_records,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            bootstrap_timeout_ms=BOOTSTRAP_MS,
            metadata_max_age_ms=METADATA_MS,
            request_timeout_ms=REQUEST_MS,
            **connection_settings(self._config),
        )
