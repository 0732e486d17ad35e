"""Shapes: the JSON of Gorse's clients, and its meaning here.

Arrives: Gorse's `Feedback`, `Item` and `User`. Leaves: events of the contract. Next: the views of this room.

Gorse counts one feedback of a type for each user and item; here each counts, told apart by its time, because repeated
purchases are what a shop lives on. Labels become attributes: of a list, the name behind `label.` is true for each; of
an object, each value by its name. A `Comment` is the title of an item. The `Timestamp` of an item says when the item
came out, not when the shop said so: it is kept as an attribute and never decides which write is the last one.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from serving.web import intake
from serving.web.answers import Refused
from stream.events import CatalogItem, Event, Interaction, InvalidEvent, UserAttributes
from stream.sources.event_names import FEEDBACK, event_type_of

LABEL = "label."
TIMESTAMP = "timestamp"
COMMENT = "comment"
SUBSCRIBE = "subscribe"
EVENT_ID_BYTES = 18


_E = TypeVar("_E", bound=Event)


class _Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="pascal"):
    """Base of Gorse's structs: its names begin with capitals."""


class Feedback(_Shape, frozen=True, kw_only=True):
    """A user did something with an item."""

    feedback_type: str
    user_id: str
    item_id: str
    timestamp: str = ""
    comment: str = ""
    value: float | None = None
    updated: str = ""


class Entry(_Shape, frozen=True, kw_only=True):
    """An item."""

    item_id: str
    is_hidden: bool = False
    labels: Any = None
    categories: list[str] | None = None
    timestamp: str = ""
    comment: str = ""


class EntryPatch(_Shape, frozen=True, kw_only=True):
    """Some fields of an item. None: as it is."""

    is_hidden: bool | None = None
    labels: Any = None
    categories: list[str] | None = None
    timestamp: str | None = None
    comment: str | None = None


class User(_Shape, frozen=True, kw_only=True):
    """A user."""

    user_id: str
    labels: Any = None
    subscribe: list[str] | None = None
    comment: str = ""


def interaction(feedback: Feedback, *, now: datetime) -> Interaction:
    """Return the event of a feedback. Raises `Refused` with Gorse's name of the field."""
    kind, value = FEEDBACK.get(feedback.feedback_type, (event_type_of(feedback.feedback_type), None))
    if kind is None:
        raise Refused("FeedbackType", f"{feedback.feedback_type[:40]!r} is neither an event nor in {sorted(FEEDBACK)}")
    time = time_of(feedback.timestamp, now=now)
    parts = (feedback.feedback_type, feedback.user_id, feedback.item_id, time.isoformat())
    digest = hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=EVENT_ID_BYTES)
    event = Interaction(
        event_time=time,
        event_id=f"gorse:{digest.hexdigest()}",
        event_type=kind,
        user_id=feedback.user_id,
        item_id=feedback.item_id,
        value=value if feedback.value is None else feedback.value,
    )
    return valid(event, now=now)


def entry(item: Entry, *, now: datetime) -> CatalogItem:
    """Return the catalogue entry of an item. Raises `Refused`."""
    made = CatalogItem(
        event_time=now,
        item_id=item.item_id,
        title=item.comment,
        categories=item.categories or [],
        available=not item.is_hidden,
        attributes=labels_of(item.labels) | timestamp_of(item.timestamp, now=now),
    )
    return valid(made, now=now)


def user_attributes(user: User, *, now: datetime) -> UserAttributes:
    """Return the attributes of a user. Raises `Refused`."""
    attributes = labels_of(user.labels)
    attributes |= {f"{SUBSCRIBE}.{name}": True for name in user.subscribe or ()}
    if user.comment:
        attributes[COMMENT] = user.comment
    return valid(UserAttributes(event_time=now, user_id=user.user_id, attributes=attributes), now=now)


def valid(event: _E, *, now: datetime) -> _E:
    """Return the event as its readers will decode it. Raises `Refused`."""
    try:
        return intake.checked(msgspec.json.encode(event), type(event), now=now)
    except (InvalidEvent, UnicodeEncodeError) as error:
        raise Refused("", str(error)) from error


def labels_of(labels: Any) -> dict[str, str | bool | int | float]:
    """Return labels as attributes. Raises `Refused` for what is neither text, number, truth, list nor object."""
    if labels is None:
        return {}
    if isinstance(labels, dict):
        return dict(_flat("", labels))
    return dict(_flat(LABEL.removesuffix("."), labels if isinstance(labels, list) else [labels]))


def gorse_labels(attributes: Mapping[str, Any]) -> Any:
    """Return attributes as labels: a list where `labels_of` made them of one, else an object, None without any."""
    found = {name: value for name, value in attributes.items() if name != TIMESTAMP}
    if all(name.startswith(LABEL) and value is True for name, value in found.items()):
        return sorted(name.removeprefix(LABEL) for name in found) or None
    return found


def timestamp_of(text: str, *, now: datetime) -> dict[str, str | bool | int | float]:
    """Return the attribute with an item's own time, as it was given. Raises `Refused`."""
    if not text:
        return {}
    time_of(text, now=now)
    return {TIMESTAMP: text}


def time_of(text: str, *, now: datetime) -> datetime:
    """Return the time; without a zone it is UTC, without a text it is `now`. Raises `Refused`."""
    if not text:
        return now
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused("Timestamp", f"{text[:40]!r} is no time such as 2026-01-31T12:00:00Z") from error
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str | bool | int | float]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(f"{name}.{key}" if name else key, part)
    elif isinstance(value, list):
        for part in value:
            if not isinstance(part, str):
                raise Refused("Labels", "a list of labels holds text")
            yield f"{name}.{part}", True
    elif isinstance(value, str | bool | int | float):
        yield name, value
    elif value is not None:
        raise Refused("Labels", f"{type(value).__name__} is no label")
