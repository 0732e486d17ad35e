"""Admission: the ids of an event that comes as JSON, by the rules of the cells of a file.

Arrives: an interaction or a login that fits the contract, of a POST, a line of `produce` or of `replay`. Leaves: the
event with its ids as a file would give them, or `InvalidEvent`, which names the field. Next: the door sends or stores
it.

The padding around an id is no part of it, `123.0` is 123, and a word for no value is nobody's id: one shopper `null`
would join all who are not known. Kafka's consumers do not ask again: what is on a topic has passed a door.
"""

import re
from typing import TypeVar

import msgspec

from stream.events import Identity, Interaction, InvalidEvent
from stream.sources.ids import id_of

_E = TypeVar("_E", Interaction, Identity)

CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def admitted(event: _E) -> _E:
    """Return the event with the ids that it means. Raises `InvalidEvent` when an id names nobody or is damaged.

    A login, too: one of `null` would join all its visitors.
    """
    changed: dict[str, str | None] = {}
    for field in ("user_id", "item_id") if isinstance(event, Interaction) else ("anonymous_id", "user_id"):
        written = getattr(event, field)
        found = _id(written, field)
        if not found:
            raise InvalidEvent(f"{written!r} names nobody: it is empty or a word for no value - at `$.{field}`")
        if found != written:
            changed[field] = found
    if (
        isinstance(event, Interaction)
        and event.order_id is not None
        and (order := _id(event.order_id, "order_id")) != event.order_id
    ):
        changed["order_id"] = order or None
    return msgspec.structs.replace(event, **changed) if changed else event


def _id(written: str, field: str) -> str:
    found = id_of(written)
    if CONTROL.search(found):
        raise InvalidEvent(f"a control character in an id - at `$.{field}`")
    return found
