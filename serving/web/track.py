"""Track: reads what a page tells of its shopper: views, clicks, carts, orders and a login.

Arrives: the body of a POST from a browser, which has no secret. Leaves: `Interaction` and `Identity` events, and a
reason for each that is refused. Next: `serving.web.outbox` sends them to Kafka.

A stranger can send whatever a page can, so each event needs somebody who vouches for its shopper:

- the `token` that the shop's server made for this shopper (`serving.web.signing`): every type;
- the signature of the list that led to the event: views, clicks and carts. Whoever may read lists may fetch one in
  anybody's name, so it never vouches for an order;
- the id itself, where it is anonymous, random and so known to its own page alone: the types of
  `SAGESTREAM_TRACK_EVENTS`. A stranger can make up visitors, within the bounds on an address, but speaks for nobody
  else.

What takes a purchase back is the shop's own to say. The time is the server's, and the event id is hashed with the
shopper, so that no page can take the id of an order that the shop's server will send.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec

from serving.config import TRACKABLE
from serving.web import intake, signing
from serving.web.answers import Refused
from serving.web.intake import Refusal
from serving.web.json_body import read_posted
from serving.web.outbox import Letter, letter_of
from serving.web.seen import ListPosition
from stream.events import Currency, EventType, Id, Identity, Interaction, InvalidEvent, Quantity, check
from stream.sources.admission import admitted

MAX_EVENTS = 50
"""The largest number of events in one message of a page."""
LISTED = frozenset({EventType.VIEW, EventType.CLICK, EventType.CART})
"""What the signature of a list vouches for."""
ANONYMOUS = re.compile(r"anon-[A-Za-z0-9_-]{22,100}")
"""The id of an anonymous visitor, which the page made: at least 128 random bits in URL-safe base64."""
EVENT_ID_BYTES = 18


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event as a page tells it. `event_id` is any text that the page does not use twice for one shopper."""

    event_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    event_type: EventType
    item_id: Id
    value: float | None = None
    quantity: Quantity | None = None
    request_id: Id | None = None
    position: ListPosition | None = None
    order_id: Id | None = None
    currency: Currency | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The message of a page, about one shopper. With `anonymous_id` that visitor has logged in as the shopper."""

    user_id: Id
    events: Annotated[list[Told], msgspec.Meta(max_length=MAX_EVENTS)] = []
    token: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    anonymous_id: Id | None = None


@dataclass(frozen=True)
class Tracked:
    """What a message holds: the events that somebody vouches for, and a reason for each other one."""

    interactions: list[Interaction]
    login: Identity | None
    refused: list[Refusal]


_decoder = msgspec.json.Decoder(Message)


def read_message(body: bytes, *, open_types: frozenset[str], now: datetime) -> Tracked:
    """Return what the message holds. `open_types` need nobody but the anonymous id.

    Raises `Refused` with the field's name when the message itself is wrong.
    """
    message = _message(body)
    vouched = message.token is not None and _is_shopper(message.token, message.user_id, now)
    if message.token is not None and not vouched:
        raise Refused("token", "this token is not this shopper's, or it has expired")
    login = _login(message, now) if message.anonymous_id is not None else None
    found = Tracked([], login, [])
    own = frozenset(open_types) if ANONYMOUS.fullmatch(message.user_id) else frozenset()
    for index, told in enumerate(message.events):
        refusal = _refusal(message.user_id, told, vouched=vouched, own=own)
        if refusal is None:
            try:
                found.interactions.append(_interaction(message.user_id, told, now))
                continue
            except InvalidEvent as error:
                refusal = intake.field_of(msgspec.json.encode(told), error), str(error)
        found.refused.append(Refusal(index, *refusal))
    return found


def letters(found: Tracked) -> list[Letter]:
    """Return the letters of what was taken, the login first."""
    login = [] if found.login is None else [letter_of(found.login)]
    return login + [letter_of(event) for event in found.interactions]


def _message(body: bytes) -> Message:
    message = read_posted(body, _decoder)
    if not message.events and message.anonymous_id is None:
        raise Refused("events", "neither an event nor a login")
    return message


def _login(message: Message, now: datetime) -> Identity:
    if message.token is None:
        raise Refused("token", "a login needs the token of the shopper, from the shop's server")
    assert message.anonymous_id is not None
    if not ANONYMOUS.fullmatch(message.anonymous_id):
        raise Refused("anonymous_id", "not the id of an anonymous visitor: anon- and at least 22 random characters")
    login = Identity(event_time=now, anonymous_id=message.anonymous_id, user_id=message.user_id)
    try:
        if admitted(check(login, now=now)) != login:  # whom the token names must be whom the login joins
            raise InvalidEvent(f"{message.user_id!r} is not how this id is written - at `$.user_id`")
        return login
    except InvalidEvent as error:
        raise Refused(intake.field_of(msgspec.json.encode(login), error), str(error)) from error


def _refusal(user_id: str, told: Told, *, vouched: bool, own: frozenset[str]) -> tuple[str, str] | None:
    """Return the field and the reason why the event is refused; None when somebody vouches for it."""
    if told.event_type not in TRACKABLE:
        return "event_type", f"a {told.event_type} is the shop's own to say: post it to /events/"
    listed = told.request_id is not None and signing.fits(
        told.request_id, user_id, key=signing.key_for(signing.REQUESTS)
    )
    if told.request_id is not None and not listed:
        return "request_id", "this shopper was served no list with this id"
    if vouched or (listed and told.event_type in LISTED) or told.event_type in own:
        return None
    return "token", f"nobody vouches for this {told.event_type}: see /track/ in the documentation of the API"


def _interaction(user_id: str, told: Told, now: datetime) -> Interaction:
    if "\0" in told.event_id:
        raise InvalidEvent("a NUL character - at `$.event_id`", "nul")
    name = f"{user_id}\0{told.event_id}".encode()
    event = Interaction(
        event_time=now,
        event_id=f"page:{hashlib.blake2b(name, digest_size=EVENT_ID_BYTES).hexdigest()}",
        event_type=told.event_type,
        user_id=user_id,
        item_id=told.item_id,
        value=told.value,
        quantity=told.quantity,
        request_id=told.request_id,
        position=told.position,
        order_id=told.order_id,
        currency=told.currency,
    )
    found = intake.checked(msgspec.json.encode(event), Interaction, now=now)
    if found.user_id != user_id:  # who is vouched for with padding is not whom the event would be of
        raise InvalidEvent(f"{user_id!r} is not how this id is written - at `$.user_id`")
    return found


def _is_shopper(token: str, user_id: str, now: datetime) -> bool:
    return signing.is_shopper(token, user_id, key=signing.key_for(signing.SHOPPERS), now=now)
