"""The dead letter queue, read: what it holds, why, and how far a replay has taken it.

Arrives: letters of `interactions.dlq`, as `stream.worker.app` writes them. Leaves: the letters, or counts by reason and
the newest of them. Next: `stream.dlq.replay` sends them again once the fault is mended.

How far a replay came is the committed offset of the group `dlq-replay`.
"""

import heapq
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError
from kafka.structs import OffsetAndMetadata

from stream import events
from stream.config import StreamConfig
from stream.events import DeadLetter
from stream.kafka.topics import connection_settings

GROUP = "dlq-replay"

MAX_LETTER_BYTES = 2 * 1024 * 1024
"""A letter holds `MAX_DEAD_LETTER_BYTES` in base64, and may hold more where a shop's broker takes more."""

MAX_REASONS = 100
"""Reasons that are counted apart; a queue may hold nonsense of any kind, its summary may not grow with it."""

OTHER_REASONS = "other reasons"
UNREADABLE = "not a letter of the contract"

STALLED_SECONDS = 30.0
POLL_SECONDS = 0.2
NEW_TOPIC_SECONDS = 2.0
"""A topic that was created a moment ago is not known to every broker at once."""


@dataclass(frozen=True)
class QueuedLetter:
    """A message of the queue: where it stands there, its key, and the letter, None where it is none."""

    partition: int
    offset: int
    key: bytes | None
    letter: DeadLetter | None


class Queue:
    """The topic, read from wherever one likes. It joins no group: the group's name only holds the mark."""

    def __init__(self, config: StreamConfig, *, bootstrap_seconds: float = 5.0) -> None:
        """Raises `KafkaError` where no broker answers, `LookupError` where the topic does not exist."""
        self._consumer = KafkaConsumer(
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=40,
            bootstrap_timeout_ms=int(bootstrap_seconds * 1000),
            **connection_settings(config),
        )
        deadline = time.monotonic() + NEW_TOPIC_SECONDS
        while not (partitions := self._consumer.partitions_for_topic(events.DEAD_LETTERS)):
            if time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                continue
            self._consumer.close()
            raise LookupError(f"the topic {events.DEAD_LETTERS} does not exist: run `sagestream init`")
        self._partitions = [TopicPartition(events.DEAD_LETTERS, partition) for partition in sorted(partitions)]

    def mark(self) -> dict[int, int]:
        """By partition, the offset of the first letter that no replay has taken yet; missing: none has."""
        committed = ((tp.partition, self._consumer.committed(tp)) for tp in self._partitions)
        return {partition: offset for partition, offset in committed if offset is not None}

    def remember(self, mark: Mapping[int, int]) -> None:
        """Move the mark; call it when everything before it is where it should be."""
        offsets = {
            TopicPartition(events.DEAD_LETTERS, partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in mark.items()
        }
        if offsets:
            self._consumer.commit(offsets)

    def letters(self, start: Mapping[int, int] | None = None) -> Iterator[QueuedLetter]:
        """The letters from `start` on (by partition; missing: all that the broker keeps) to the end as it is now.

        The end is the high watermark that comes with a fetch: it is right on both brokers, see `stream.kafka.lag`.
        Raises `KafkaTimeoutError` where the broker stops answering before that.
        """
        self._consumer.unsubscribe()  # forgets the watermarks of an earlier look
        self._consumer.assign(self._partitions)
        for tp in self._partitions:
            if start and tp.partition in start:
                self._consumer.seek(tp, start[tp.partition])
            else:
                self._consumer.seek_to_beginning(tp)
        ends: dict[TopicPartition, int] = {}
        came = time.monotonic()
        while len(ends) < len(self._partitions) or any(self._consumer.position(tp) < end for tp, end in ends.items()):
            fetched = self._consumer.poll(timeout_ms=int(POLL_SECONDS * 1000))
            for tp in self._partitions:
                if tp not in ends and self._consumer.highwater(tp) is not None:
                    ends[tp] = self._consumer.highwater(tp)
                    if self._consumer.position(tp) > ends[tp]:  # the mark is of another queue
                        self._consumer.seek_to_beginning(tp)
            for records in fetched.values():
                yield from map(_queued, records)
            if fetched:
                came = time.monotonic()
            elif time.monotonic() - came > STALLED_SECONDS:
                raise KafkaTimeoutError(f"the broker has not answered for {STALLED_SECONDS:.0f} s")

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _queued(record: object) -> QueuedLetter:
    value: bytes | None = record.value  # type: ignore[attr-defined]
    try:
        letter = events.decode(value or b"", DeadLetter, now=_NEVER, max_bytes=MAX_LETTER_BYTES)
    except events.InvalidEvent:
        letter = None
    return QueuedLetter(record.partition, record.offset, record.key, letter)  # type: ignore[attr-defined]


_NEVER = events.utc(0)
"""The time bounds events; a letter has none."""


@dataclass(frozen=True)
class Filter:
    """Which letters are meant: of a topic, with these words in their reason, first seen from a moment on."""

    topic: str | None = None
    reason: str | None = None
    since: datetime | None = None

    def takes(self, letter: DeadLetter | None) -> bool:
        """Whether it is one of them; what is no letter is meant by no filter."""
        if letter is None:
            return self == Filter()
        return (
            (self.topic is None or letter.topic == self.topic)
            and (self.reason is None or self.reason.casefold() in letter.error.casefold())
            and (self.since is None or letter.first_seen >= self.since)
        )


@dataclass
class Summary:
    """What the queue holds. `reasons` counts by (topic, reason); `newest` are the last letters, newest first."""

    letters: int = 0
    waiting: int = 0
    """Letters behind the mark: no replay has taken them yet."""
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    newest: list[QueuedLetter] = field(default_factory=list)


def summarise(
    letters: Iterable[QueuedLetter], *, mark: Mapping[int, int], chosen: Filter, limit: int, keep_bytes: int
) -> Summary:
    """Count the letters that `chosen` takes and keep the newest `limit`, of each the first `keep_bytes`."""
    summary = Summary()
    newest: list[tuple[float, int, int, QueuedLetter]] = []
    for queued in letters:
        if not chosen.takes(queued.letter):
            continue
        summary.letters += 1
        summary.waiting += queued.offset >= mark.get(queued.partition, 0)
        reason = ("", UNREADABLE)
        seen = 0.0
        if queued.letter is not None:
            reason = (queued.letter.topic, kind_of(queued.letter.error))
            seen = queued.letter.first_seen.timestamp()
        if reason not in summary.reasons and len(summary.reasons) >= MAX_REASONS:
            reason = ("", OTHER_REASONS)
        summary.reasons[reason] += 1
        entry = (seen, queued.partition, queued.offset, _shortened(queued, keep_bytes))
        if len(newest) < limit:
            heapq.heappush(newest, entry)
        elif newest:
            heapq.heappushpop(newest, entry)
    summary.newest = [entry[-1] for entry in sorted(newest, key=lambda entry: entry[:3], reverse=True)]
    return summary


def _shortened(queued: QueuedLetter, keep_bytes: int) -> QueuedLetter:
    if queued.letter is None:
        return queued
    letter = queued.letter
    short = DeadLetter(
        raw=letter.raw[:keep_bytes],
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        error=letter.error,
        first_seen=letter.first_seen,
    )
    return QueuedLetter(queued.partition, queued.offset, None, short)


_PARTICULAR = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|0x\w+|\d[\d:.,T+-]*""")


def kind_of(error: str) -> str:
    """The reason without what is particular to one message: numbers, times and quoted values."""
    return _PARTICULAR.sub("…", error)
