"""Sources as the tests read them: the events, the items and the rejected rows of files that the tests write."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from stream.events import CatalogItem, Interaction, UserAttributes, milliseconds
from stream.sources.opening import open_source
from stream.sources.options import SourceOptions
from stream.sources.rejections import Rejection, Rejections
from stream.sources.source import Reading
from stream.sources.understood import Understood


class Read(NamedTuple):
    """What a source gave."""

    events: list[Interaction]
    items: list[CatalogItem]
    rejected: list[Rejection]
    forms: list[str]
    passed_over: list[str]
    people: list[UserAttributes]
    understood: list[Understood]

    @property
    def told(self) -> list[tuple[str, str, float | None, int]]:
        """(user, item, value, epoch seconds) of the events."""
        return [
            (event.user_id, event.item_id, event.value, milliseconds(event.event_time) // 1000) for event in self.events
        ]

    @property
    def reasons(self) -> list[tuple[int, str]]:
        """(place, reason) of the rejected rows."""
        return [(rejection.place, rejection.reason) for rejection in self.rejected]


def read(name: str, *paths: Path, items: Sequence[Path] = (), options: SourceOptions | None = None) -> Read:
    """Everything in the files, through the source of that name."""
    source = open_source(name, paths, items=items, options=options)
    rejected: list[Rejection] = []
    reading = Reading(Rejections(rejected.append, None))
    found = list(source.events(reading))
    return Read(
        [event for event in found if isinstance(event, Interaction)],
        [item for item in found if isinstance(item, CatalogItem)],
        rejected,
        [part.form for part in source.parts],
        [path.name for path in source.passed_over],
        [known for known in found if isinstance(known, UserAttributes)],
        list(reading.understood.values()),
    )


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """A file of this text."""
    path.write_text(text, encoding=encoding, newline="")
    return path


def seconds(*time: int) -> int:
    """Epoch seconds of a time in UTC: year, month, day, hour, …"""
    return int(datetime(*time, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]
