"""Reads the dead letter queue: the letters, their reasons, and the position of the last replay.

Arrives: letters of `interactions.dlq`, written by `stream.worker.worker`. Leaves: the letters, or counts by reason with
the newest letters. Next: `stream.dlq.replay` sends them again after the fault is repaired.

The position of the last replay is the committed offset of the group `dlq-replay`.
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

from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError
from kafka.structs import OffsetAndMetadata

from graphstore.errors import UserError
from stream import events
from stream.config import StreamConfig
from stream.events import DeadLetter
from stream.kafka.clients import open_consumer
from stream.kafka.topics import PRODUCER_HEADER

GROUP = "dlq-replay"

MAX_LETTER_BYTES = 2 * 1024 * 1024
"""A letter contains `MAX_DEAD_LETTER_BYTES` in base64, and more when the shop's broker allows larger messages."""

MAX_REASONS = 100
"""The largest number of reasons that are counted separately, so that the summary stays small."""

OTHER_REASONS = "other reasons"
UNREADABLE = "not a letter of the contract"

STALLED_SECONDS = 30.0
POLL_SECONDS = 0.2
NEW_TOPIC_SECONDS = 2.0
"""A new topic may take this time until every broker knows it."""


@dataclass(frozen=True)
class QueuedLetter:
    """A message of the queue: its offset and key, and the letter (None when the message is not a letter).

    `producer` is the name that the producer of the bad message gave itself; it is empty where none was given.
    """

    partition: int
    offset: int
    key: bytes | None
    letter: DeadLetter | None
    producer: str = ""


class NoTopic(UserError):
    """The topic of dead letters does not exist yet."""


class Queue:
    """The topic of dead letters, readable from any offset. It does not join the group, which only stores the mark."""

    def __init__(self, config: StreamConfig, *, bootstrap_seconds: float = 5.0) -> None:
        """Raises `KafkaError` where no broker answers, `NoTopic` where the topic does not exist."""
        self._consumer = open_consumer(
            config,
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=40,
            bootstrap_timeout_ms=int(bootstrap_seconds * 1000),
        )
        try:
            self._partitions = self._find_partitions()
        except BaseException:
            self._consumer.close()
            raise

    def _find_partitions(self) -> list[TopicPartition]:
        deadline = time.monotonic() + NEW_TOPIC_SECONDS
        while not (partitions := self._consumer.partitions_for_topic(events.DEAD_LETTERS)):
            if time.monotonic() > deadline:
                raise NoTopic(f"the topic {events.DEAD_LETTERS} does not exist: run `sagestream init`")
            time.sleep(POLL_SECONDS)
        return [TopicPartition(events.DEAD_LETTERS, partition) for partition in sorted(partitions)]

    def mark(self) -> dict[int, int]:
        """Return, by partition, the offset of the first letter that no replay has handled; missing: no replay yet.

        Raises `KafkaTimeoutError` when the broker does not answer.
        """
        milliseconds = int(STALLED_SECONDS * 1000)
        committed = ((tp.partition, self._consumer.committed(tp, timeout_ms=milliseconds)) for tp in self._partitions)
        return {partition: offset for partition, offset in committed if offset is not None}

    def remember(self, mark: Mapping[int, int]) -> None:
        """Move the mark. Call it when all letters before it are handled. Raises `KafkaTimeoutError`."""
        offsets = {
            TopicPartition(events.DEAD_LETTERS, partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in mark.items()
        }
        if offsets:
            self._consumer.commit(offsets, timeout_ms=int(STALLED_SECONDS * 1000))

    def letters(self, start: Mapping[int, int] | None = None) -> Iterator[QueuedLetter]:
        """Yield the letters from `start` (by partition; missing: from the first one) to the current end.

        The end is the high watermark of a fetch, which is right on both brokers (see `stream.kafka.lag`). Raises
        `KafkaTimeoutError` when the broker stops answering before the end.
        """
        self._consumer.unsubscribe()  # clears the watermarks of an earlier call
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
                    if self._consumer.position(tp) > ends[tp]:  # the mark belongs to another queue
                        self._consumer.seek_to_beginning(tp)
            for records in fetched.values():
                yield from map(_queued, records)
            if fetched:
                came = time.monotonic()
            elif time.monotonic() - came > STALLED_SECONDS:
                raise KafkaTimeoutError(f"the broker has not answered for {STALLED_SECONDS:.0f} s")

    def close(self) -> None:
        """Close the connections."""
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
    headers = record.headers or ()  # type: ignore[attr-defined]
    named = next((raw for name, raw in headers if name == PRODUCER_HEADER and raw), b"")
    producer = named.decode(errors="replace")
    return QueuedLetter(record.partition, record.offset, record.key, letter, producer)  # type: ignore[attr-defined]


_NEVER = events.utc(0)
"""`decode` needs a time for events; a letter has no event time."""


@dataclass(frozen=True)
class Filter:
    """Selects letters by topic, by words in the reason, by the time they were first seen, and by the kind of reason.

    `kind` is what `kind_of` makes of the reason, or its beginning.
    """

    topic: str | None = None
    reason: str | None = None
    since: datetime | None = None
    kind: str | None = None

    def takes(self, letter: DeadLetter | None) -> bool:
        """Return whether the letter is selected. A message that is not a letter is selected only by an empty filter."""
        if letter is None:
            return self == Filter()
        return (
            (self.topic is None or letter.topic == self.topic)
            and (self.reason is None or self.reason.casefold() in letter.error.casefold())
            and (self.since is None or letter.first_seen >= self.since)
            and (self.kind is None or kind_of(letter.error).startswith(self.kind))
        )


@dataclass
class Summary:
    """A summary of the queue. `reasons` counts by (topic, reason); `newest` holds the last letters, newest first."""

    letters: int = 0
    waiting: int = 0
    """Letters after the mark, which no replay has handled."""
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    newest: list[QueuedLetter] = field(default_factory=list)


def summarise(
    letters: Iterable[QueuedLetter], *, mark: Mapping[int, int], chosen: Filter, limit: int, keep_bytes: int
) -> Summary:
    """Count the selected letters and keep the newest `limit`, each with its first `keep_bytes` bytes."""
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
    """Return the reason without the parts that differ between messages: numbers, times and quoted values."""
    return _PARTICULAR.sub("…", error)
