"""Subscription: a consumer of one topic that reconnects after the broker was unreachable.

Arrives: the settings of Kafka. Leaves: records, in order within a partition, at least once.
Next: `serving.publisher` and `serving.nearline`.

A thread of its own polls the broker, so the membership in the group does not depend on the caller. Heartbeats and
rebalances go on while the caller loads a model or waits for a database, and this time does not count as a wait for a
partition.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from graphstore.errors import reason
from stream.config import StreamConfig
from stream.kafka.broker import check_reachable
from stream.kafka.clients import open_consumer
from stream.kafka.topics import FETCH_MAX_WAIT_MS, IDLE_SECONDS, idle_fetch_max_wait_ms
from stream.liveness import Liveness
from stream.probe import OK

logger = logging.getLogger(__name__)

SESSION_MS = 6_000
HEARTBEAT_MS = 1_000
COMMIT_SECONDS = 1.0
BOOTSTRAP_MS = 10_000
METADATA_MS = 5_000
"""A member that joins before the topic's metadata arrive gets no partition until the next refresh. The default is five
minutes."""
REQUEST_MS = 10_000
"""A fetch without an answer is repeated after this time. The default is thirty seconds."""
SETTLE_SECONDS = 12.0
"""A member that joined and got no partition joins again after this time, then after twice the time. With more members
than partitions some members rightly have none."""
JOIN_SECONDS = 30.0
"""A member whose join makes no progress for this time joins again, then after twice the time. On a busy machine a join
takes longer, and to begin it again would make it longer still."""
RECONNECT_SECONDS = 1.0
POLL_SECONDS = 0.5
PAUSED_POLL_SECONDS = 0.1
"""A poll that only keeps the membership, while the caller has a batch and the next one waits."""
UNANSWERED_POLL_SECONDS = 0.1
"""The pause between two polls while the broker leaves a heartbeat without an answer."""
CLOSE_SECONDS = 2.0
"""How long a commit and the leave may take when the broker does not answer."""


class Subscription:
    """One topic for one consumer group, from the earliest record that the group has not committed.

    `poll` says that the records of earlier polls are handled, unless the caller reads ahead. Their offsets are
    committed within a second. After a crash or a rebalance the records since the last commit come twice. A new group
    starts at EARLIEST, because readers are idempotent and some brokers answer LATEST wrongly.
    Sessions are short, because a join on the embedded broker waits for half of one.
    """

    def __init__(
        self,
        config: StreamConfig,
        topic: str,
        *,
        group: str,
        max_records: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._topic = topic
        self._group = group
        self._max_records = max_records
        self._clock = clock
        self._wait = PartitionWait(clock)
        self._next_commit = 0.0
        self._last_found = clock()
        self._closing = threading.Event()
        self._changed = threading.Condition()
        # Shared by the two threads, under `_changed`.
        self._fetched: deque[list[ConsumerRecord]] = deque()
        self._in_hand: dict[TopicPartition, OffsetAndMetadata] = {}
        self._handled: dict[TopicPartition, OffsetAndMetadata] = {}
        self.error: str | None = None
        """The error of the broker; None while it answers."""
        self.assigned = False
        """Whether this member has partitions. A join takes seconds."""
        self.liveness = Liveness()
        """Whether the thread that polls makes progress."""
        self._thread = threading.Thread(target=self._follow, name=f"{group} consumer", daemon=True)
        self._thread.start()

    @property
    def state(self) -> str:
        """The state for a probe: ok, or the reason."""
        return self.error or (OK if self.assigned else "waiting for its partitions")

    def poll(self, timeout_seconds: float, *, handled: bool = True) -> Sequence[ConsumerRecord]:
        """Return the next records, at most after the timeout; no records while the broker is unreachable.

        With `handled` False the caller reads ahead: the records of earlier polls are still in its hands.
        """
        with self._changed:
            if handled:
                self._handled |= self._in_hand
                self._in_hand = {}
            self._changed.wait_for(lambda: self._fetched or self._closing.is_set(), timeout_seconds)
            records = self._fetched.popleft() if self._fetched else []
            self._in_hand |= next_offsets(records)
            self._changed.notify_all()
            return records

    def close(self) -> None:
        """Commit the handled records and leave the group. The records in hand count as not handled."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()

    def _follow(self) -> None:
        consumer: KafkaConsumer | None = None
        while not self._closing.is_set():
            self.liveness.beat("polling")
            try:
                if consumer is None:
                    consumer = self._connect()
                    self._wait.begin()
                self._turn(consumer)
                if self._wait.is_over(assigned=self.assigned):
                    logger.warning("the group %s gave no partition of %s: joining again", self._group, self._topic)
                    self._leave(consumer)
                    consumer = None
            except KafkaError as error:
                if self.error is None:
                    logger.error("the topic %s cannot be followed, trying on: %s", self._topic, error)
                self.error = reason(error)
                self._closing.wait(RECONNECT_SECONDS)
            except Exception as error:  # a batch that cannot be unpacked: each codec raises errors of its own
                if self.error is None:
                    logger.exception(
                        "the topic %s has an unreadable batch, at one of %s", self._topic, _positions(consumer)
                    )
                self.error = f"a batch cannot be unpacked: {reason(error)}"
                self._closing.wait(RECONNECT_SECONDS)
            else:
                if self.error is not None:
                    logger.info("the topic %s is followed again", self._topic)
                    self.error = None
        if consumer is not None:
            self._leave(consumer)

    def _turn(self, consumer: KafkaConsumer) -> None:
        """Poll once. While a batch waits for the caller, the partitions are paused and only the membership is kept."""
        if not self._is_full():
            consumer.resume(*consumer.paused())
            found = self._found(consumer)
        else:
            with self._changed:
                if self._changed.wait_for(lambda: not self._fetched or self._closing.is_set(), POLL_SECONDS):
                    return
            consumer.pause(*consumer.assignment())
            found = consumer.poll(timeout_ms=int(PAUSED_POLL_SECONDS * 1000))
        self.assigned = bool(consumer.assignment())
        self._set_fetch_wait(consumer, found=bool(found))
        if found:
            with self._changed:
                self._fetched.append([record for records in found.values() for record in records])
                self._changed.notify_all()
        if self._clock() >= self._next_commit and (handled := self._take_handled(consumer)):
            self._next_commit = self._clock() + COMMIT_SECONDS
            consumer.commit_async(handled, callback=self._log_commit)

    def _found(self, consumer: KafkaConsumer) -> dict[TopicPartition, list[ConsumerRecord]]:
        """Return the next records, after a wait for them.

        While a heartbeat of a settled member is overdue, kafka-python 3.0.12 does not wait: it looks again at once, and
        keeps something of each look until the fetch ends. A broker that hung for ten seconds cost a whole core and 250
        MB. Then the wait is here.
        """
        coordinator = consumer._coordinator
        if coordinator.stable() and not coordinator.need_rejoin() and not coordinator.time_to_next_poll():
            self._closing.wait(UNANSWERED_POLL_SECONDS)
            milliseconds = 0
        else:
            milliseconds = int(POLL_SECONDS * 1000)
        found: dict[TopicPartition, list[ConsumerRecord]] = consumer.poll(timeout_ms=milliseconds)
        return found

    def _set_fetch_wait(self, consumer: KafkaConsumer, *, found: bool) -> None:
        """Ask the broker less often while no records come: an idle consumer would use 5 % of a core."""
        now = self._clock()
        if found:
            self._last_found = now
        idle = now - self._last_found > IDLE_SECONDS
        wait = idle_fetch_max_wait_ms(self._config) if idle else FETCH_MAX_WAIT_MS
        consumer._fetcher.config["fetch_max_wait_ms"] = wait

    def _is_full(self) -> bool:
        with self._changed:
            return bool(self._fetched)

    def _take_handled(self, consumer: KafkaConsumer) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return the offsets to commit. Partitions that another member has now are left out: it may be further on."""
        with self._changed:
            handled, self._handled = self._handled, {}
        return {tp: offset for tp, offset in handled.items() if tp in consumer.assignment()}

    def _log_commit(self, offsets: object, answer: object) -> None:
        if isinstance(answer, Exception):
            logger.warning("the group %s did not commit, records may come twice: %s", self._group, answer)

    def _leave(self, consumer: KafkaConsumer) -> None:
        self.assigned = False
        try:
            if self.error is None and (handled := self._take_handled(consumer)):
                consumer.commit(handled, timeout_ms=int(CLOSE_SECONDS * 1000))
            consumer.close(autocommit=False, timeout_ms=int(CLOSE_SECONDS * 1000))
        except KafkaError as error:
            logger.warning("the group %s was not left in order: %s", self._group, error)

    def _connect(self) -> KafkaConsumer:
        check_reachable(self._config)
        consumer = open_consumer(
            self._config,
            group_id=self._group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_records=self._max_records,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            bootstrap_timeout_ms=BOOTSTRAP_MS,
            metadata_max_age_ms=METADATA_MS,
            request_timeout_ms=REQUEST_MS,
        )
        consumer.subscribe([self._topic], listener=self._wait)
        return consumer


class PartitionWait(ConsumerRebalanceListener):  # type: ignore[misc]
    """How long a member waits for a partition, and since when. Each join that ends is progress."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._joined = False
        self._since = clock()
        self._factor = 1

    def begin(self) -> None:
        """A new consumer begins to join."""
        self._joined, self._since = False, self._clock()

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """A rebalance begins."""
        self.begin()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """A join ended, perhaps without a partition."""
        self._joined, self._since = True, self._clock()

    def is_over(self, *, assigned: bool) -> bool:
        """Return whether the member should join again. It then waits twice as long."""
        if assigned:
            self._factor, self._since = 1, self._clock()
            return False
        if self._clock() - self._since < self._factor * (SETTLE_SECONDS if self._joined else JOIN_SECONDS):
            return False
        self._factor *= 2
        return True


def next_offsets(records: Iterable[ConsumerRecord]) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return the offset after the last record of each partition."""
    return {
        TopicPartition(record.topic, record.partition): OffsetAndMetadata(record.offset + 1, "", -1)
        for record in records
    }


def _positions(consumer: KafkaConsumer | None) -> str:
    """Return the next offset of each partition. A partition with an unreadable batch stays there."""
    positions: dict[TopicPartition, int] = {}
    with suppress(KafkaError):
        positions = {tp: consumer.position(tp) for tp in consumer.assignment()} if consumer else {}
    return ", ".join(f"partition {tp.partition} offset {offset}" for tp, offset in sorted(positions.items()))
