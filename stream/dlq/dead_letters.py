"""Dead letters: separates the valid events of a batch from bad records, and makes messages of the bad ones.

Arrives: Kafka records. Leaves: the events with their records, and the bad records with their reasons as messages for
the dead letter queue. Next: `stream.worker.worker`; `stream.dlq.queue` reads the queue.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from aiokafka.structs import ConsumerRecord
from prometheus_client import Counter

from graphstore.metric_labels import known
from stream import events
from stream.kafka.batch_producer import Message
from stream.kafka.topics import PRODUCER_HEADER, TOPIC_NAMES
from stream.kafka.unreadable_batches import UnreadableBatch

logger = logging.getLogger(__name__)

KINDS = ("json", "utf8", "field", "time", "size", "nul", "key", "late", "refused", "unreadable")
"""The classes of reasons: those of `events.InvalidEvent`, `key` (a delete without a valid id), `late` (older than the
retention horizon), `refused` (by the store) and `unreadable` (a batch that the consumer cannot unpack)."""

MAX_PRODUCER_BYTES = 64
"""Bytes of the producer's name that a letter keeps."""

LATE = "older than the retention horizon"
"""The reason of an event that the store refused as older than its compaction horizon."""

DEAD_LETTERS = Counter("sagestream_dead_letters_total", "Messages put into the dead letter queue", ["topic", "reason"])

_E = TypeVar("_E", bound=events.Event)


class Bad(NamedTuple):
    """A record that is not a valid event. `batch_index` is its index in the batch, `kind` is one of `KINDS`."""

    batch_index: int
    record: ConsumerRecord
    kind: str
    reason: str


class Tombstone(NamedTuple):
    """A null value on a compacted topic: the deleted id and the time (epoch ms)."""

    key: str
    time: int


@dataclass
class Read:
    """The content of a batch. `sources` holds index and record of each event in `good`, in the same order."""

    good: list[events.Event | Tombstone] = field(default_factory=list)
    sources: list[tuple[int, ConsumerRecord]] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)


def read(records: Sequence[ConsumerRecord], kind: type[_E], *, now: int, deletes: bool = False) -> Read:
    """Decode the records at `now` (epoch ms). With `deletes` a null value is a tombstone, else it is bad."""
    found = Read()
    good, sources, time = found.good, found.sources, events.utc(now)
    for index, record in enumerate(records):
        try:
            if isinstance(record.value, UnreadableBatch):
                raise _unreadable(record.value)
            if deletes and record.value is None:
                event: events.Event | Tombstone = _tombstone(record)
            else:
                event = events.decode(record.value or b"", kind, now=time)
        except events.InvalidEvent as error:
            found.bad.append(Bad(index, record, error.kind, str(error)))
        else:
            good.append(event)
            sources.append((index, record))
    return found


def _unreadable(batch: UnreadableBatch) -> events.InvalidEvent:
    return events.InvalidEvent(
        f"the messages from offset {batch.first_offset} to {batch.last_offset} cannot be unpacked ({batch.reason}): "
        "their producer must send them again",
        "unreadable",
    )


def _tombstone(record: ConsumerRecord) -> Tombstone:
    try:
        key = (record.key or b"").decode()
    except UnicodeDecodeError as error:
        raise events.InvalidEvent(f"the key of a delete is no id: {error}", "key") from error
    if problem := events.id_problem(key):
        raise events.InvalidEvent(f"the key of a delete is no id: {problem}", "key")
    return Tombstone(key, record.timestamp)


def letters(bad: Sequence[Bad], *, now: int) -> list[Message]:
    """Make the messages for the dead letter queue, each with the key of the bad record."""
    if bad:
        _, record, _, reason = bad[0]
        logger.warning(
            "%d dead letters from %s, the first at partition %d offset %d: %s",
            *(len(bad), record.topic, record.partition, record.offset, reason),
        )
    return [_letter(one, now=now) for one in bad]


def _letter(bad: Bad, *, now: int) -> Message:
    record = bad.record
    letter = events.DeadLetter(
        raw=(record.value or b"")[: events.MAX_DEAD_LETTER_BYTES],
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        error=bad.reason[: events.MAX_TEXT_LENGTH],
        first_seen=events.utc(now),
    )
    # A dead letter must always fit into a message: a refused one would stop the worker again and again.
    key = record.key and record.key[: events.MAX_TEXT_LENGTH]
    return Message(events.DEAD_LETTERS, key, events.encode(letter), _producer(record))


def _producer(record: ConsumerRecord) -> list[tuple[str, bytes]]:
    """Return the header in which the producer of the bad message named itself, or nothing."""
    named = ((name, value) for name, value in record.headers or () if name == PRODUCER_HEADER and value)
    return [(name, value[:MAX_PRODUCER_BYTES]) for name, value in named][:1]


def count(bad: Sequence[Bad]) -> None:
    """Count the dead letters in the metrics."""
    for one in bad:
        DEAD_LETTERS.labels(known(one.record.topic, TOPIC_NAMES), known(one.kind, KINDS)).inc()
