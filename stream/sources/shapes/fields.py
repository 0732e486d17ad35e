"""Fields: reads ids, times, prices and quantities out of a message, by the same rules as cells of files.

Arrives: a message as decoded JSON. Leaves: values of the contract, None where the message has none. Next: the shapes.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from stream.events import MAX_ID_LENGTH, MAX_QUANTITY, EventType
from stream.sources.ids import id_of
from stream.sources.prices import amount_of

Message = Mapping[str, Any]

MAX_LINES = 1000
"""Lines of one order that are read. Longer lists are refused: a message has 64 KiB at most at every door."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COMPACT = {8: "%Y%m%d", 14: "%Y%m%d%H%M%S"}
_SCALES = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (math.inf, 1e-3))
"""Numbers below the bound, and their unit in microseconds: seconds, milliseconds, microseconds, nanoseconds."""


class NotAnEvent(ValueError):
    """The message has the shape, but an event cannot be made of it. `field` is the path of what is missing or wrong."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{reason} - at `$.{field}`")
        self.field = field


def at(message: Any, path: str) -> Any:
    """Return what stands at a path of names with dots, None where there is nothing."""
    found = message
    for name in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def first(message: Any, *paths: str) -> Any:
    """Return what stands at the first of the paths that has anything but an empty text."""
    return next((found for path in paths if (found := at(message, path)) not in (None, "")), None)


def identifier(message: Any, *paths: str) -> str | None:
    """Return the id at the first path that has one. A number is its digits, a word for no value is no id."""
    for path in paths:
        found = at(message, path)
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            continue
        if written := id_of(str(found)):
            return written
    return None


def needed(message: Any, *paths: str) -> str:
    """Return the id at the first path that has one. Raises `NotAnEvent`, which names the first path."""
    found = identifier(message, *paths)
    if found is None:
        raise NotAnEvent(paths[0], "no id")
    return found


def moment(value: Any) -> datetime | None:
    """Return the time in a value: a number by its size, ISO 8601 or RFC 2822. A text without a zone is UTC."""
    if isinstance(value, bool) or value in (None, ""):
        return None
    if isinstance(value, str):
        written = value.strip()
        if written.isdigit() and len(written) in _COMPACT:
            return _of_compact(written)
        if written.replace(".", "", 1).isdigit():
            return moment(float(written))
        return _of_text(written)
    if isinstance(value, int | float) and math.isfinite(value) and value > 0:
        scale = next(scale for bound, scale in _SCALES if value < bound)
        try:
            return _EPOCH + timedelta(microseconds=value * scale)
        except OverflowError:
            return None
    return None


def _of_compact(written: str) -> datetime | None:
    try:
        return datetime.strptime(written, _COMPACT[len(written)]).replace(tzinfo=UTC)
    except ValueError:
        return None


def _of_text(written: str) -> datetime | None:
    if written.endswith(" UTC"):
        written = written.removesuffix(" UTC")
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        try:
            found = parsedate_to_datetime(written)
        except ValueError:
            return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def time_of(message: Any, *paths: str, received: datetime | None) -> datetime:
    """Return the time at the first path that has one, else `received`. Raises `NotAnEvent` without any.

    What stands there and is no time is refused: another time would be a guess.
    """
    for path in paths:
        written = at(message, path)
        if written in (None, ""):
            continue
        found = moment(written)
        if found is None:
            raise NotAnEvent(path, f"{str(written)[:40]!r} is no time")
        return found
    if received is None:
        raise NotAnEvent(paths[0], "no time")
    return received


def amount(message: Any, *paths: str) -> float | None:
    """Return the amount at the first path that has one."""
    for path in paths:
        found = at(message, path)
        if isinstance(found, bool):
            continue
        number = amount_of(found) if isinstance(found, str) else found
        if isinstance(number, int | float) and math.isfinite(number):
            return float(number)
    return None


def pieces(message: Any, *paths: str) -> float | None:
    """Return the quantity, a number of pieces or a weight, at the first path that has one; None outside the bounds.

    Its sign says which way it went (`signed`).
    """
    found = amount(message, *paths)
    return None if found is None or not 0 < abs(found) <= MAX_QUANTITY else abs(found)


def signed(kind: EventType, message: Any, *paths: str) -> EventType:
    """Return the type that the sign of the quantity makes: a purchase of a negative quantity is a return."""
    back = kind is EventType.PURCHASE and (amount(message, *paths) or 0) < 0
    return EventType.RETURN if back else kind


def text_of(message: Any, *paths: str, length: int = 1024) -> str:
    """Return the text at the first path that has one, cut at `length`, without line breaks; "" without any."""
    found = first(message, *paths)
    return " ".join(found.split())[:length] if isinstance(found, str) else ""


def currency_of(message: Any, *paths: str) -> str | None:
    """Return the ISO 4217 code at the first path that has one."""
    code = text_of(message, *paths).upper()
    return code if len(code) == 3 and code.isascii() and code.isalpha() else None


def lines(message: Any, path: str) -> Sequence[Message]:
    """Return the objects of the list at a path; empty when there is no list. Raises `NotAnEvent` for too many."""
    found = at(message, path)
    if not isinstance(found, list):
        return []
    if len(found) > MAX_LINES:
        raise NotAnEvent(path, f"{len(found)} entries, over {MAX_LINES}")
    return [line for line in found if isinstance(line, Mapping)]


def event_id(*parts: str | None, of: Message) -> str:
    """Return an id that the same message always gives: the parts where all are there, else a hash of the message."""
    if all(parts):
        written = "/".join(str(part) for part in parts)
        return written if len(written) <= MAX_ID_LENGTH else _hashed(written.encode())
    return _hashed(msgspec.json.encode(of, order="sorted") + "/".join(filter(None, parts)).encode())


def _hashed(raw: bytes) -> str:
    return hashlib.blake2b(raw, digest_size=16).hexdigest()
