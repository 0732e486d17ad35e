"""Trace header: the Kafka header that names the span to which a message belongs (W3C Trace Context)."""

from collections.abc import Sequence
from typing import Protocol

HEADER = "traceparent"


class Record(Protocol):
    """What a span needs of a Kafka record."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


def header_of(parent: str | None) -> list[tuple[str, bytes]]:
    """Return the Kafka headers of a message that belongs to the span `parent`."""
    return [] if parent is None else [(HEADER, parent.encode())]
