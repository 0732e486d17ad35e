"""Slots file: reads `slots.toml`, which says what each place of the shop shows.

Arrives: a file with one table for each slot. Leaves: a `SlotsFile`, or a `SlotsFileError` that names the file, the
slot, the key and what is allowed there. Next: `serving.slots.slot_book` serves it, `sagestream slots check` prints it.

A name that the catalogue does not have is no error: the items of a new category may come tomorrow. `unknown_names`
finds such names, for a warning.
"""

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from graphstore.errors import UserError
from serving.rules.criteria import Criteria
from serving.slots.slot import WITH_CATEGORY, Kind, Slot

MAX_BYTES = 1_000_000
MAX_SLOTS = 200
"""Each slot is a row of metrics for ever."""
MAX_NAME_LENGTH = 64

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_PART = re.compile(r"\.([^.\[]+)|(\[[^\]]*\])")


class SlotsFileError(UserError):
    """The file is not valid. The message has one line for each problem."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))
        self.problems = problems


@dataclass(frozen=True)
class SlotsFile:
    """The slots of a file, and what in it is allowed but does nothing."""

    slots: dict[str, Slot]
    warnings: list[str]


def read_slots(path: Path) -> SlotsFile:
    """Return the content of the file. Raises `SlotsFileError`, also when the file cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SlotsFileError(path, [f"cannot be read: {error.strerror}"]) from error
    if len(raw) > MAX_BYTES:
        raise SlotsFileError(path, [f"is larger than {MAX_BYTES:,} bytes"])
    try:
        tables = tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise SlotsFileError(path, [f"is not UTF-8 at byte {error.start}"]) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SlotsFileError(path, [f"is no TOML: {error or 'nested too deeply'}"]) from error
    return parse_slots(tables, path)


def parse_slots(tables: Mapping[str, Any], path: Path) -> SlotsFile:
    """Return the slots of the tables. `path` stands in the message of `SlotsFileError`."""
    if len(tables) > MAX_SLOTS:
        raise SlotsFileError(path, [f"{len(tables)} slots, at most {MAX_SLOTS} are allowed"])
    slots: dict[str, Slot] = {}
    problems: list[str] = []
    for name, table in tables.items():
        try:
            slot = _slot(name, table)
        except ValueError as error:
            problems.append(f"[{name}] {error}")
            continue
        slots[name] = slot
    if problems:
        raise SlotsFileError(path, problems)
    return SlotsFile(slots, [f"[{name}] {idle}" for name, slot in slots.items() for idle in _idle(slot)])


def unknown_names(slots: Mapping[str, Slot], categories: frozenset[str], brands: frozenset[str]) -> list[str]:
    """Return one line for each category or brand of the slots that the catalogue does not have."""
    found: list[str] = []
    for name, slot in slots.items():
        named = [("category", slot.category)] if slot.category else []
        for where, criteria in _criteria(slot):
            named += [(f"{where}.categories", value) for value in criteria.categories]
            named += [(f"{where}.without_categories", value) for value in criteria.without_categories]
            named += [(f"{where}.brands", value) for value in criteria.brands]
            named += [(f"{where}.without_brands", value) for value in criteria.without_brands]
        named += [("rules.repurchase_days", value) for value in slot.rules.repurchase_days]
        for key, value in named:
            is_brand = key.endswith("brands")
            there = brands if is_brand else categories
            if value not in there:
                what = "brand" if is_brand else "category"
                found.append(f"[{name}] {key}: no item has the {what} {value!r}{_suggestion(value, there)}")
    return found


def _slot(name: str, table: object) -> Slot:
    """Return one slot. Raises `ValueError` with the key and what is allowed there."""
    if not isinstance(table, dict):
        raise ValueError("is no table: a slot is a line [name] with its keys below")
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"is no name: up to {MAX_NAME_LENGTH} letters, digits, - and _, a letter or digit first")
    try:
        return msgspec.convert(table, Slot)
    except msgspec.ValidationError as error:
        raise ValueError(_explained(str(error))) from error


def _explained(message: str) -> str:
    """Return the message of msgspec with the key first and, for a wrong name, the names that are allowed."""
    what, _, where = message.partition(" - at `$")
    parts = [name or "[]" for name, _ in _PART.findall(where.rstrip("`"))]
    key = where.rstrip("`").lstrip(".")
    prefix = f"{key}: " if key else ""
    if wrong := re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL):
        allowed = _keys_at(parts)
        return f"{prefix}there is no key {wrong[1]!r}{_suggestion(wrong[1], allowed)}; allowed: {', '.join(allowed)}"
    if wrong := re.fullmatch(r"Invalid enum value (.*)", what, re.DOTALL):
        return f"{prefix}{wrong[1]} is none of {', '.join(Kind)}"
    if wrong := re.fullmatch(r"Object missing required field `(.*)`", what):
        return f"{prefix}the key {wrong[1]!r} is missing"
    return prefix + what[:1].lower() + what[1:].replace("`", "")


def _keys_at(parts: list[str]) -> list[str]:
    """Return the keys of the table at this path below a slot. A part `[]` is an element of an array."""
    there: Any = msgspec.inspect.type_info(Slot)
    for part in parts:
        if part == "[]":
            there = there.item_type if isinstance(there, msgspec.inspect.VarTupleType) else there.value_type
        else:
            there = next(field.type for field in there.fields if field.encode_name == part)
        if isinstance(there, msgspec.inspect.Metadata):
            there = there.type
    return [field.encode_name for field in there.fields]


def _suggestion(wrong: str, allowed: Collection[str]) -> str:
    close = difflib.get_close_matches(wrong, allowed, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _criteria(slot: Slot) -> Iterator[tuple[str, Criteria]]:
    """Yield all criteria of a slot, each with its key."""
    yield "rules.only", slot.rules.only
    for number, boost in enumerate(slot.rules.boost):
        yield f"rules.boost[{number}].items", boost.items
    for number, quota in enumerate(slot.rules.quota):
        yield f"rules.quota[{number}].items", quota.items


def _idle(slot: Slot) -> Iterator[str]:
    """Yield what is allowed and has no effect in a list of the slot's own length."""
    if slot.category and not {slot.kind, *slot.fallback} & {*WITH_CATEGORY}:
        yield f"category: only {', '.join(WITH_CATEGORY)} use it"
    for number, pin in enumerate(slot.rules.pin):
        if pin.position >= slot.length:
            yield f"rules.pin[{number}]: position {pin.position} is beyond the length {slot.length} (the first is 0)"
    asked = sum(quota.at_least for quota in slot.rules.quota)
    if asked > slot.length:
        yield f"rules.quota: together at least {asked} items, the length is {slot.length}"
    if slot.kind in slot.fallback:
        yield f"fallback: {slot.kind} is the kind of the slot itself"
