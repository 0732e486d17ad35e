"""Messages: files whose rows are messages of the trade, as `stream.sources.shapes` translates them.

Arrives: a JSON file whose first row has one of the shapes, or lines of Snowplow. Leaves: interactions as rows, items,
attributes and logins. A message that gives no event is counted with its line and reason. Next: `stream.sources.source`.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from stream.events import MAX_FUTURE, CatalogItem, Identity, Interaction, UserAttributes, milliseconds, utc
from stream.sources.formats.json_rows import JsonRows
from stream.sources.formats.opening import open_columns
from stream.sources.shapes.fields import NotAnEvent
from stream.sources.shapes.registry import shape_of, translated
from stream.sources.shapes.shape import Shape, Translated
from stream.sources.source import Found, Part, Reading
from stream.sources.table import COLUMNS, ORDER_COLUMNS
from stream.sources.understood import Understood

BLOCK_MESSAGES = 2_000
"""Messages that are translated together. It bounds the memory: a message gives at most a thousand events."""


def shape_of_file(path: Path) -> Shape | None:
    """Return the shape of the messages in a JSON file, None for another file. Raises `UnreadableFile`."""
    from stream.sources.rejections import Rejections

    with open_columns(path, Rejections()) as file:
        return shape_of(file.sample) if isinstance(file, JsonRows) else None


def messages_part(path: Path, shape: Shape) -> Part:
    """Return the part of a file of messages."""

    def blocks(reading: Reading) -> Iterator[Found]:
        understood = Understood({"message": shape.name}, clock="UTC")
        reading.understood[str(path)] = understood
        now = utc(reading.latest_ms) - MAX_FUTURE
        with open_columns(path, reading.rejections) as file:
            assert isinstance(file, JsonRows)
            rows = file.rows()
            while some := list(islice(rows, BLOCK_MESSAGES)):
                events: list[Translated] = []
                for place, message in some:
                    try:
                        events += translated(shape, message, now=now, received=None)
                    except NotAnEvent as error:
                        reading.rejections.add(path, file.unit, place, str(error), json.dumps(message))
                reading.share = file.share
                others = [event for event in events if not isinstance(event, Interaction)]
                if others:
                    yield _known_first(others)
                table = _table([event for event in events if isinstance(event, Interaction)])
                understood.add(table)
                yield table

    return Part(path, f"messages of {shape.name}", blocks)


def _known_first(
    events: list[CatalogItem | UserAttributes | Identity],
) -> list[CatalogItem | UserAttributes | Identity]:
    """Return the events by kind: batches of one kind are stored together."""
    return sorted(events, key=lambda event: type(event).__name__)


def _table(events: list[Interaction]) -> pd.DataFrame:
    rows: dict[str, list[Any]] = {name: [getattr(event, name) for event in events] for name in COLUMNS}
    rows["event_type"] = [event.event_type.value for event in events]
    rows["event_time"] = [milliseconds(event.event_time) for event in events]
    orders = {name: [getattr(event, name) or "" for event in events] for name in ORDER_COLUMNS}
    table = pd.DataFrame(rows | orders)
    return table.astype({"event_time": "int64", "value": "float64", "quantity": "float64"})
