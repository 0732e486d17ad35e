"""Item fields: joins two states of an item so that the last write wins for each field, in any order of arrival.

Arrives: rows of an item: a whole catalogue entry, a change of some fields, or what is stored. Leaves: one row. Next:
`graphstore.upserts` stores it, `stream.replay` makes events of it.

Each field, and each attribute by its name, has a value and the time of its last write. A whole entry writes every field
at its time. Of two writes at one time the greater value wins (for `available`: False), so the order never counts. The
join is commutative, associative and idempotent, which a property test holds.

Rejected: one time for the whole row, because a late entry would then undo a newer stock; and a table with a row for
each field, because every reader of an item would join it.
"""

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

ENTRY = "*"
"""The name in `field_times` for the time of the newest whole entry; 0: there was none yet."""
ATTRIBUTE = "attributes."
"""How the name of an attribute begins in `field_times`."""


class ItemRow(NamedTuple):
    """A state of an item. A delete is an entry with `available` False.

    `updated_at` is the newest time of all. `field_times` names the fields that a change wrote after the newest entry,
    and, under `ENTRY`, the time of this entry. It is empty for a row without such fields: all are of `updated_at`.
    """

    item_id: str
    title: str
    categories: list[str]
    brand: str
    price: float | None
    available: bool
    updated_at: int
    attributes: Mapping[str, str | int | float | bool] = MappingProxyType({})
    url: str = ""
    image_url: str = ""
    stock: int | None = None
    product_id: str | None = None
    field_times: Mapping[str, int] = MappingProxyType({})

    @property
    def entry_time(self) -> int:
        """The time of the newest whole entry, epoch ms; 0: there was none."""
        return self.field_times.get(ENTRY, 0) if self.field_times else self.updated_at


FIELDS = ("title", "categories", "brand", "price", "available", "url", "image_url", "stock", "product_id")
"""The fields besides the attributes."""

_UNKNOWN = ItemRow("", "", [], "", None, available=True, updated_at=0)


class Written(NamedTuple):
    """The value of one field or attribute, and when it was written (epoch ms). `present` is False without a value."""

    time: int
    present: bool
    value: Any


def changed(item_id: str, fields: Mapping[str, Any], attributes: Mapping[str, Any], *, time: int) -> ItemRow:
    """Return the row of a change of some field or attribute at `time` (epoch ms). An attribute with None is removed."""
    given = {name: value for name, value in attributes.items() if value is not None}
    times = {ENTRY: 0, **dict.fromkeys(fields, time), **{f"{ATTRIBUTE}{name}": time for name in attributes}}
    row = _UNKNOWN._replace(item_id=item_id, updated_at=time, attributes=given, field_times=times)
    return row._replace(**fields)


def joined(one: ItemRow, other: ItemRow) -> ItemRow:
    """Return the join of two states of one item."""
    entry = max(one.entry_time, other.entry_time)
    names = dict.fromkeys((*FIELDS, *_attributes(one), *_attributes(other)))
    newest = {name: max(written(one, name), written(other, name), key=_order) for name in names}
    later = {name: found.time for name, found in newest.items() if found.time > entry}
    return ItemRow(
        item_id=one.item_id,
        updated_at=max(one.updated_at, other.updated_at),
        attributes={
            name.removeprefix(ATTRIBUTE): found.value
            for name, found in newest.items()
            if name.startswith(ATTRIBUTE) and found.present
        },
        field_times={ENTRY: entry, **later} if later else {},
        **{name: newest[name].value for name in FIELDS},
    )


def written(row: ItemRow, name: str) -> Written:
    """Return the last write of a field, or of an attribute by its name with `ATTRIBUTE` before it."""
    time = row.field_times.get(name, row.entry_time)
    if not name.startswith(ATTRIBUTE):
        return Written(time, True, getattr(row, name))
    attribute = name.removeprefix(ATTRIBUTE)
    return Written(time, attribute in row.attributes, row.attributes.get(attribute))


def changes(row: ItemRow) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Return what was written after the newest entry, by time: (epoch ms, fields, attributes), None: removed."""
    by_time: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
    for name, time in row.field_times.items():
        if name == ENTRY:
            continue
        fields, attributes = by_time.setdefault(time, ({}, {}))
        value = written(row, name).value
        if name.startswith(ATTRIBUTE):
            attributes[name.removeprefix(ATTRIBUTE)] = value
        else:
            fields[name] = value
    for time, (fields, attributes) in sorted(by_time.items()):
        yield time, fields, attributes


def of_entry(row: ItemRow) -> ItemRow | None:
    """Return what the newest whole entry wrote and no change wrote later. None: there was no entry."""
    if not row.entry_time:
        return None
    later = {name: getattr(_UNKNOWN, name) for name in FIELDS if name in row.field_times}
    kept = {name: value for name, value in row.attributes.items() if f"{ATTRIBUTE}{name}" not in row.field_times}
    return row._replace(updated_at=row.entry_time, attributes=kept, field_times={}, **later)


def _attributes(row: ItemRow) -> Iterator[str]:
    yield from (f"{ATTRIBUTE}{name}" for name in row.attributes)
    yield from (name for name in row.field_times if name.startswith(ATTRIBUTE))


def _order(found: Written) -> tuple[int, bool, int, bool | float | str | list[str], str]:
    """Return the order of writes. The text of a number tells 1 from 1.0, so that either arrival stores the same."""
    value = found.value
    if isinstance(value, bool):
        return found.time, found.present, 0, not value, ""
    if isinstance(value, int | float):
        return found.time, found.present, 1, value, json.dumps(value)
    if value is None:
        return found.time, found.present, -1, False, ""
    return found.time, found.present, 2, value, ""
