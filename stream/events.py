"""The event contract: what travels on each topic, as msgspec structs.

Arrives: bytes from a topic, or values from an adapter that wants to produce them.
Leaves: a frozen struct, or `InvalidEvent` with a reason fit for the dead letter queue.
Next: `stream.worker.app` hands interactions to `graphstore.ingest`; `stream.kafka.producer` writes them.

Decoding is strict: an unknown field, a missing field or a wrong type is an error, never a guess. Only msgspec and the
standard library are imported, so that a shop may copy this one module as its client.
"""

import enum
import functools
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import msgspec

INTERACTIONS = "interactions"
IMPRESSIONS = "impressions"
CATALOG = "catalog"
USERS = "users"
IDENTITIES = "identities"
USERS_TOUCHED = "users.touched"
MODELS = "models"
DEAD_LETTERS = "interactions.dlq"

MAX_ID_LENGTH = 128
MAX_TEXT_LENGTH = 1024
MAX_LISTED_ITEMS = 1000
MAX_EVENT_BYTES = 64 * 1024
MAX_DEAD_LETTER_BYTES = 700_000
"""As much of a bad message as fits, in base64, into one message of Kafka's default size."""

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
MAX_FUTURE = timedelta(hours=1)

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_LENGTH)]
UtcTime = Annotated[datetime, msgspec.Meta(tz=True)]
AttributeName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Position = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class InvalidEvent(ValueError):
    """The bytes are not an event of the contract; the message says why.

    `kind` is the class of the reason, for counting: `size`, `nul`, `utf8`, `json`, `field` or `time`.
    """

    def __init__(self, reason: str, kind: str = "field") -> None:
        super().__init__(reason)
        self.kind = kind


class EventType(enum.StrEnum):
    """What a shopper did. The order is the order of the count columns in `edges` and `item_buckets`.

    `return` and `cancel` take a purchase back, after and before delivery; their `quantity` is positive, too.
    """

    VIEW = "view"
    CLICK = "click"
    CART = "cart"
    PURCHASE = "purchase"
    RATING = "rating"
    RETURN = "return"
    CANCEL = "cancel"


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all events: frozen, strict, unset optional fields are left out on the wire."""

    event_time: UtcTime


class Interaction(Event, frozen=True, kw_only=True):
    """A shopper touched an item. `event_id` makes it idempotent: the same id counts once.

    `value` is the rating or the price paid; `request_id` and `position` name the served list that led here.
    """

    event_id: Id
    event_type: EventType
    user_id: Id
    item_id: Id
    value: float | None = None
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    request_id: Id | None = None
    position: Position | None = None


class ImpressionItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One item of a served list; `propensity` is the chance that this item stood at this position."""

    item_id: Id
    position: Position
    score: float
    propensity: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
    source: Text


class Impression(Event, frozen=True, kw_only=True):
    """A list was served: what `interactions` with the same `request_id` are measured against."""

    request_id: Id
    user_id: Id
    slot: Id
    model_version: Text
    variant: Text
    items: Annotated[list[ImpressionItem], msgspec.Meta(max_length=MAX_LISTED_ITEMS)]

    def __post_init__(self) -> None:
        if len({item.position for item in self.items}) < len(self.items):
            raise ValueError("two items at one position")  # only one of them could be stored


class CatalogItem(Event, frozen=True, kw_only=True):
    """What the shop knows of an item. A null value on the topic deletes it."""

    item_id: Id
    title: Text = ""
    categories: Annotated[list[Text], msgspec.Meta(max_length=32)] = []
    brand: Text = ""
    price: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)] | None = None
    available: bool = True


Attribute = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_LENGTH)] | bool | int | float


class UserAttributes(Event, frozen=True, kw_only=True):
    """What the shop knows of a user, whole: a later event replaces an earlier one. A null value deletes it."""

    user_id: Id
    attributes: Annotated[dict[AttributeName, Attribute], msgspec.Meta(max_length=64)] = {}


class Identity(Event, frozen=True, kw_only=True):
    """An anonymous session logged in: what `anonymous_id` did, before and after, is what `user_id` did.

    The earliest login of a session holds: a later one, by somebody else on the same device, changes nothing.
    """

    anonymous_id: Id
    user_id: Id


class UserTouched(Event, frozen=True, kw_only=True):
    """This shopper's graph changed and the change is durable. `event_time` is the newest event's time."""

    user_id: Id


class ModelAnnouncement(Event, frozen=True, kw_only=True):
    """The registry changed: `status` is that of `models.status`, `bundle` the bundle's directory."""

    model_version: Id
    status: Text
    bundle: Text


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message that could not be read: its bytes (base64 on the wire), where it stood, and why."""

    raw: bytes
    topic: str
    partition: int
    offset: int
    error: str
    first_seen: UtcTime


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The escape itself; behind a doubled backslash the same letters are text."""

_encoder = msgspec.json.Encoder()
_E = TypeVar("_E", bound=msgspec.Struct)


def encode(event: msgspec.Struct) -> bytes:
    """The event's JSON as it stands on the topic."""
    return _encoder.encode(event)


@functools.cache
def _decoder(kind: type[_E]) -> msgspec.json.Decoder[_E]:
    return msgspec.json.Decoder(kind)


def decode(raw: bytes, kind: type[_E], *, now: datetime, max_bytes: int = MAX_EVENT_BYTES) -> _E:
    """The event in `raw`; raises `InvalidEvent` for anything outside the contract.

    `now` bounds `event_time`: nothing from before 1990, nothing more than an hour ahead.
    """
    if len(raw) > max_bytes:
        raise InvalidEvent(f"{len(raw)} bytes, over the bound of {max_bytes}", "size")
    if b"\\u0000" in raw and _NUL.search(raw):
        raise InvalidEvent("a NUL character, which PostgreSQL cannot store", "nul")
    try:
        event: _E = _decoder(kind).decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidEvent(str(error), "field") from error
    except msgspec.MsgspecError as error:
        raise InvalidEvent(str(error), "json") from error
    except UnicodeDecodeError as error:
        raise InvalidEvent(str(error), "utf8") from error
    return check_time(event, now=now)


def check_time(event: _E, *, now: datetime) -> _E:
    """The event itself, or `InvalidEvent` where its time is absurd."""
    if isinstance(event, Event):
        if event.event_time < EARLIEST:
            raise InvalidEvent(f"event_time {event.event_time.isoformat()} is before {EARLIEST.year}", "time")
        if event.event_time > now + MAX_FUTURE:
            raise InvalidEvent(f"event_time {event.event_time.isoformat()} is over {MAX_FUTURE} in the future", "time")
    return event


def milliseconds(time: datetime) -> int:
    """Epoch milliseconds, the unit of every time in SQL and Redis (exact: no detour over floats)."""
    return (time - _EPOCH) // _MILLISECOND


def utc(epoch_milliseconds: int) -> datetime:
    """The inverse of `milliseconds`."""
    return _EPOCH + epoch_milliseconds * _MILLISECOND
