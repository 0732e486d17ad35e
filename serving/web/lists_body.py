"""Lists body: reads the body of `POST /recommendations/`, which asks for the lists of one page at once.

Arrives: JSON. Leaves: `ListRequest` values by name. Next: `serving.web.lists_door.answer`.

The body may name a shopper, or bring a session that nobody stores: then nothing of the request is kept, and no list is
logged. A time of the session that lies ahead counts as now, because the clocks of browsers differ.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Annotated

import msgspec

from serving.online.protocol import MAX_SESSION_EVENTS, SessionEvent
from serving.rules.criteria import NO_CRITERIA, Criteria, Name
from serving.slots.request import ListRequest
from serving.slots.slot import ABOUT_ITEMS, Slot
from serving.web import parameters
from serving.web.answers import Refused
from serving.web.json_body import read_posted
from serving.web.lists_door import signed_id
from serving.web.parameters import MAX_IDS, MAX_ITEMS
from stream.events import EventType, Id, milliseconds

MAX_LISTS = 20
"""Lists in one request."""

ItemCount = Annotated[int, msgspec.Meta(ge=1, le=MAX_ITEMS)]
Ids = Annotated[list[Id], msgspec.Meta(max_length=MAX_IDS)]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the parts of the body."""


class SessionPart(Body, frozen=True, kw_only=True):
    """What the shopper just did. Without a time it was now, in the order given."""

    item_id: Id
    event_type: EventType = EventType.VIEW
    event_time: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class Context(Body, frozen=True, kw_only=True):
    """Where the page is: its category."""

    category: Name | None = None


class SlotPart(Body, frozen=True, kw_only=True):
    """One list. What it does not say, the body says for all lists."""

    slot: Id
    k: ItemCount | None = None
    items: Ids | None = None
    criteria: Criteria | None = None
    category: Name | None = None


class Lists(Body, frozen=True, kw_only=True):
    """The body."""

    slots: Annotated[list[Id | SlotPart], msgspec.Meta(min_length=1, max_length=MAX_LISTS)]
    user_id: Id | None = None
    session: Annotated[list[SessionPart], msgspec.Meta(max_length=MAX_SESSION_EVENTS)] = []
    cart: Ids = []
    items: Ids = []
    criteria: Criteria = NO_CRITERIA
    context: Context = Context()
    explain: bool = False
    confirmed: bool | None = None


_decoder = msgspec.json.Decoder(Lists)


def read_body(body: bytes) -> Lists:
    """Return the body. Raises `Refused` with the field's name."""
    lists = read_posted(body, _decoder)
    if b"\\u0000" in body:  # no text of the event contract holds a NUL; a backslash of the text itself may look so
        named = msgspec.to_builtins(lists)
        for field in (field for field, value in named.items() if _holds_nul(value)):
            raise Refused(field, "a NUL character")
    return lists


def requests_of(lists: Lists, slots: Mapping[str, Slot], *, now: datetime) -> dict[str, ListRequest]:
    """Return the requests by the names of their slots. Raises `Refused` with the field's name.

    The items of the body are what the lists about items are about. When no list is about items, they are what all
    lists put into the shopper's order.
    """
    _check_ids("user_id", [lists.user_id] if lists.user_id else [])
    _check_ids("cart", lists.cart)
    _check_ids("items", lists.items)
    _check_ids("criteria", lists.criteria.without_items)
    _check_names("criteria", lists.criteria)
    _check_names("context", NO_CRITERIA, lists.context.category)
    session = tuple(_event(part, now) for part in lists.session)
    requests: dict[str, ListRequest] = {}
    parts = [SlotPart(slot=part) if isinstance(part, str) else part for part in lists.slots]
    named = [(asked, *parameters.slot({"slot": asked.slot}, slots)) for asked in parts]
    about = [slot for _, _, slot in named if slot.kind in ABOUT_ITEMS]
    for asked, name, slot in named:
        if asked.slot in requests:
            raise Refused("slots", f"{asked.slot!r} is asked for twice")
        _check_ids("slots", asked.items or ())
        _check_ids("slots", asked.criteria.without_items if asked.criteria else ())
        _check_names("slots", asked.criteria or NO_CRITERIA, asked.category)
        ours = lists.items if slot.kind in ABOUT_ITEMS or not about else []
        requests[asked.slot] = ListRequest(
            slot=slot,
            name=name,
            k=asked.k or slot.length,
            user_id=lists.user_id,
            criteria=lists.criteria if asked.criteria is None else asked.criteria,
            session=session,
            cart=tuple(lists.cart),
            items=tuple(ours if asked.items is None else asked.items),
            category=asked.category or lists.context.category or "",
            explain=lists.explain,
            request_id=signed_id(lists.user_id),
        )
    return requests


def _check_names(field: str, criteria: Criteria, category: str | None = None) -> None:
    """Raise `Refused` for a name that no item can have, which a query could not bring either."""
    named = (criteria.categories, criteria.brands, criteria.without_categories, criteria.without_brands)
    for name in chain(*named, *criteria.attributes.items(), (category,) if category is not None else ()):
        for text in (name,) if isinstance(name, str) else name:
            parameters.name(text, field)


def _event(part: SessionPart, now: datetime) -> SessionEvent:
    parameters.identifier(part.item_id, "session")
    time = None if part.event_time is None else milliseconds(min(part.event_time, now))
    return SessionEvent(item_id=part.item_id, event_type=part.event_type, event_time=time)


def _check_ids(field: str, ids: Sequence[str]) -> None:
    for value in ids:
        parameters.identifier(value, field)


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(map(_holds_nul, (*value, *value.values())))
    return isinstance(value, list | tuple) and any(map(_holds_nul, value))
