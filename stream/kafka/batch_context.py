"""Batch context: tells logs and traces which records the current work is about.

Arrives: the records of a batch. Leaves: their topic, offsets and first ids in each log line of the work, and a span.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from graphstore.log_context import logged_with
from graphstore.tracing import batch_span


class KafkaRecord(Protocol):
    """A record of kafka-python or of aiokafka."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@contextmanager
def working_on(doing: str, topic: str, records: Sequence[KafkaRecord]) -> Iterator[None]:
    """Log and trace the block as the work on these records. `doing` is the first word of the span's name."""
    if not records:
        yield
        return
    with logged_with(topic=topic, offsets=partial(offsets_of, records)), batch_span(doing, topic, records):
        yield


def offsets_of(records: Sequence[KafkaRecord]) -> dict[int, list[int]]:
    """Return, by partition, the first and the last offset of the records."""
    found: dict[int, list[int]] = {}
    for record in records:
        first, last = found.get(record.partition, (record.offset, record.offset))
        found[record.partition] = [min(first, record.offset), max(last, record.offset)]
    return found
