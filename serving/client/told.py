"""Told: what a shop's server tells, with an id and a time that are made once, when the value is made.

An event that is sent again keeps its id and counts once; an item that is sent again keeps its time and never replaces
a newer entry. So every one of them can be repeated. The structs are those of the event contract (`stream.events`).
"""

import uuid
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import field

from serving.links import landing
from stream import events
from stream.events import EventType, Id, UtcTime


def _now() -> datetime:
    # Not an argument: whoever makes an event says when it happened, unless it is now.
    return datetime.now(UTC)


def _new_id() -> str:
    return uuid.uuid4().hex


class Event(events.Interaction, frozen=True, kw_only=True):
    """A shopper viewed, clicked, put into the cart, bought, rated, returned or cancelled an item.

    Give an `event_id` of your own where you have one, such as the line of an order: then it counts once even if your
    own program tells it twice.
    """

    event_id: Id = field(default_factory=_new_id)
    event_time: UtcTime = field(default_factory=_now)


class Item(events.CatalogItem, frozen=True, kw_only=True):
    """A whole entry of the catalogue: what it does not say is empty afterwards."""

    event_time: UtcTime = field(default_factory=_now)


class ItemChange(events.ItemChange, frozen=True, kw_only=True):
    """New values for some fields of an item; the others stay. Of `attributes`, None removes one."""

    event_time: UtcTime = field(default_factory=_now)


class Stock(msgspec.Struct, frozen=True, kw_only=True):
    """How many of an item are left; None: not counted any more."""

    item_id: Id
    stock: Annotated[int, msgspec.Meta(ge=0)] | None
    event_time: UtcTime = field(default_factory=_now)


class Login(events.Identity, frozen=True, kw_only=True):
    """An anonymous visitor has logged in as a user: the visitor's events are the user's."""

    event_time: UtcTime = field(default_factory=_now)


def landed(url: str) -> Event | None:
    """Return the click on a link of `sagestream score --links`; None for any other address.

    Opened twice, it is one click.
    """
    found = landing(url)
    if found is None:
        return None
    return Event(
        event_id=f"{found.request_id}:{found.position}"[: events.MAX_ID_LENGTH],
        event_type=EventType.CLICK,
        user_id=found.user_id,
        item_id=found.item_id,
        request_id=found.request_id,
        position=found.position,
    )
