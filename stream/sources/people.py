"""People: files of what is known of shoppers, one row for each.

Arrives: a file with a column of users and others, or one of labels (JSON). Leaves: `UserAttributes`. Next:
`stream.sources.source`.

The event time is the time of the file, so the newer one of two files wins. A row without any attribute says nothing.
"""

import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from stream.events import MAX_ATTRIBUTES, UserAttributes
from stream.sources.cell_columns import ids
from stream.sources.files.compressed import changed_at
from stream.sources.formats.columns import Block, text
from stream.sources.formats.opening import open_columns
from stream.sources.item_entries import plain_text, refused_id
from stream.sources.options import Layout
from stream.sources.source import Found, Part, Reading

MAX_NAME = 64
Value = str | bool | int | float


def users_part(path: Path, *, form: str, user: str, labels: str | None = None, layout: Layout | None = None) -> Part:
    """Return the part of a file of users. The members of the JSON in `labels` are attributes of their own."""
    moment = changed_at(path)

    def blocks(reading: Reading) -> Iterator[Found]:
        with open_columns(path, reading.rejections, layout) as file:
            for block in file.blocks(file.header):
                found: list[UserAttributes] = []
                for row, (user_id, attributes) in enumerate(_rows(block, user, labels)):
                    reason = "no user" if not user_id else refused_id(user_id)
                    if reason is not None:
                        reading.rejections.add(path, file.unit, int(block.places[row]), reason, block.shown(row))
                    elif attributes:
                        found.append(_event(user_id, attributes, moment))
                reading.share = file.share
                yield found

    return Part(path, form, blocks, f"user = {user!r}, all other columns are attributes")


def _rows(block: Block, user: str, labels: str | None) -> Iterator[tuple[str, dict[str, Value]]]:
    names = [name for name in block.table.columns if name not in (user, labels)]
    columns = [text(block.table[name]).tolist() for name in names]
    words = [""] * len(block.table) if labels is None else text(block.table[labels]).tolist()
    for user_id, label, *cells in zip(ids(block.table[user]).tolist(), words, *columns, strict=True):
        told = zip(names, cells, strict=True)
        yield user_id, {str(name)[:MAX_NAME].lower(): _value(cell) for name, cell in told if cell} | labels_of(label)


def labels_of(cell: str) -> dict[str, Value]:
    """Return the members of a JSON object as attributes, and those of a list as names behind `label.`"""
    if not cell:
        return {}
    try:
        found: Any = msgspec.json.decode(cell)
    except msgspec.MsgspecError:
        found = [part.strip() for part in cell.split("|") if part.strip()]
    if isinstance(found, dict):
        return {name[:MAX_NAME]: value for name, value in found.items() if name and isinstance(value, Value)}
    members = found if isinstance(found, list) else [found]
    return {f"label.{member}"[:MAX_NAME]: True for member in members if isinstance(member, str | int | float)}


def _value(cell: str) -> Value:
    try:
        number = float(cell)
    except ValueError:
        return plain_text(cell)
    if not math.isfinite(number) or (cell[0] == "0" and cell[1:].isdigit()):  # `01234` is a code and no number
        return plain_text(cell)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _event(user_id: str, attributes: dict[str, Value], moment: datetime) -> UserAttributes:
    kept = dict(list(attributes.items())[:MAX_ATTRIBUTES])
    return UserAttributes(user_id=user_id, attributes=kept, event_time=moment)
