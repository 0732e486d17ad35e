"""The event contract: the messages of each topic, as msgspec structs.

Arrives: bytes from a topic, or values from an adapter that produces events.
Leaves: a frozen struct, or `InvalidEvent` with a reason for the dead letter queue.
Next: `stream.worker.app` gives interactions to `graphstore.ingest`; `stream.kafka.producer` writes them.

Decoding is strict: an unknown field, a missing field or a wrong type is an error. The module imports only msgspec and
the standard library, so a shop can copy it as its client.
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
CATALOG_CHANGES = "catalog.changes"
USERS = "users"
IDENTITIES = "identities"
SEEN = "seen"
USERS_TOUCHED = "users.touched"
MODELS = "models"
DEAD_LETTERS = "interactions.dlq"

MAX_ID_LENGTH = 128
MAX_TEXT_LENGTH = 1024
MAX_LISTED_ITEMS = 1000
MAX_ATTRIBUTES = 64
MAX_QUANTITY = 1_000_000
MAX_EVENT_BYTES = 64 * 1024
MAX_DEAD_LETTER_BYTES = 700_000
"""The largest part of a bad message that fits, in base64, into one message of Kafka's default size."""

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
MAX_FUTURE = timedelta(hours=1)

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_LENGTH)]
UtcTime = Annotated[datetime, msgspec.Meta(tz=True)]
AttributeName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Position = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
Quantity = Annotated[float, msgspec.Meta(gt=0, le=MAX_QUANTITY)]
Currency = Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
Url = Annotated[str, msgspec.Meta(max_length=2048, pattern=r"^(https?://|/(?!/)|$)")]
"""An address of a page or image: absolute, or a path of the shop. No scheme runs a script."""
LARGEST = 2**63 - 1
Attribute = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_LENGTH)] | bool | int | float
"""A value of a user's attribute, with numbers of any length, as released messages have them."""
ItemAttribute = (
    Annotated[str, msgspec.Meta(max_length=MAX_TEXT_LENGTH)]
    | bool
    | Annotated[int, msgspec.Meta(ge=-LARGEST, le=LARGEST)]
    | Annotated[float, msgspec.Meta(ge=-LARGEST, le=LARGEST)]
)
"""A value of an item's attribute. Few programs can write a number over 64 bits again, and lists show items."""


class InvalidEvent(ValueError):
    """The bytes are not an event of the contract; the message says why.

    `kind` is the class of the reason, for metrics: `size`, `nul`, `utf8`, `json`, `field` or `time`.
    """

    def __init__(self, reason: str, kind: str = "field") -> None:
        super().__init__(reason)
        self.kind = kind


class EventType(enum.StrEnum):
    """The type of an interaction. The order is the order of the count columns in `edges` and `item_buckets`.

    `return` takes a purchase back after delivery, `cancel` before delivery. Their `quantity` is positive.
    """

    VIEW = "view"
    CLICK = "click"
    CART = "cart"
    PURCHASE = "purchase"
    RATING = "rating"
    RETURN = "return"
    CANCEL = "cancel"


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all events: frozen and strict. Unset optional fields are not sent."""

    event_time: UtcTime


class Interaction(Event, frozen=True, kw_only=True):
    """A user interacted with an item. The same `event_id` counts once, so the event is idempotent.

    `value` is the rating, or the price paid for one piece. `quantity` is a number of pieces, or a weight, 0.45 for
    example; the event counts once, whatever its quantity. `request_id` and `position` name the served list that led to
    the event. The purchases of one order have the same `order_id`; `currency` is an ISO 4217 code.
    """

    event_id: Id
    event_type: EventType
    user_id: Id
    item_id: Id
    value: float | None = None
    quantity: Quantity | None = None
    request_id: Id | None = None
    position: Position | None = None
    order_id: Id | None = None
    currency: Currency | None = None


class ImpressionItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One item of a served list. `propensity` is the probability that this item was at this position."""

    item_id: Id
    position: Position
    score: float
    propensity: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
    source: Text


class Impression(Event, frozen=True, kw_only=True):
    """A served list. Interactions with the same `request_id` are attributed to it.

    Without `confirmed` the list was merely fetched: its items count as shown when a `Seen` event names them. `robot`
    marks a reader that says it is a robot; `client` is a keyed hash of the reader's address.
    """

    request_id: Id
    user_id: Id
    slot: Id
    model_version: Text
    variant: Text
    items: Annotated[list[ImpressionItem], msgspec.Meta(max_length=MAX_LISTED_ITEMS)]
    confirmed: bool = True
    robot: bool = False
    client: Annotated[str, msgspec.Meta(max_length=32)] = ""

    def __post_init__(self) -> None:
        if len({item.position for item in self.items}) < len(self.items):
            raise ValueError("two items at one position")  # only one of them could be stored


class Seen(Event, frozen=True, kw_only=True):
    """A shopper has truly seen these positions of a served list."""

    request_id: Id
    user_id: Id
    positions: Annotated[list[Position], msgspec.Meta(min_length=1, max_length=MAX_LISTED_ITEMS)]


class CatalogItem(Event, frozen=True, kw_only=True):
    """The catalogue entry of an item. A null value on the topic deletes it.

    An item is for sale while it is `available` and its `stock` is not 0; None: the stock is not counted. Items with one
    `product_id` are variants (SKUs) of one product, of which a list shows one.
    """

    item_id: Id
    title: Text = ""
    categories: Annotated[list[Text], msgspec.Meta(max_length=32)] = []
    brand: Text = ""
    price: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)] | None = None
    available: bool = True
    attributes: Annotated[dict[AttributeName, ItemAttribute], msgspec.Meta(max_length=MAX_ATTRIBUTES)] = {}
    url: Url = ""
    image_url: Url = ""
    stock: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None
    product_id: Id | None = None


class ItemChange(Event, frozen=True, kw_only=True):
    """Some fields of an item have new values; the other fields stay. The last write wins for each field.

    `attributes` changes the named attributes alone; null removes one. A deleted item stays deleted until a change says
    that it is `available`.
    """

    item_id: Id
    title: Text | msgspec.UnsetType = msgspec.UNSET
    categories: Annotated[list[Text], msgspec.Meta(max_length=32)] | msgspec.UnsetType = msgspec.UNSET
    brand: Text | msgspec.UnsetType = msgspec.UNSET
    price: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)] | msgspec.UnsetType | None = msgspec.UNSET
    available: bool | msgspec.UnsetType = msgspec.UNSET
    attributes: Annotated[dict[AttributeName, ItemAttribute | None], msgspec.Meta(max_length=MAX_ATTRIBUTES)] = {}
    url: Url | msgspec.UnsetType = msgspec.UNSET
    image_url: Url | msgspec.UnsetType = msgspec.UNSET
    stock: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | msgspec.UnsetType | None = msgspec.UNSET
    product_id: Id | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        if not self.attributes and not self.fields():
            raise ValueError("no field changes")

    def fields(self) -> dict[str, str | list[str] | float | None]:
        """Return the fields that change, without the attributes."""
        named = {name: getattr(self, name) for name in _CHANGEABLE}
        return {name: value for name, value in named.items() if value is not msgspec.UNSET}


_CHANGEABLE = tuple(
    name for name in ItemChange.__struct_fields__ if name not in ("event_time", "item_id", "attributes")
)


class UserAttributes(Event, frozen=True, kw_only=True):
    """All attributes of a user: a later event replaces an earlier one. A null value deletes them."""

    user_id: Id
    attributes: Annotated[dict[AttributeName, Attribute], msgspec.Meta(max_length=MAX_ATTRIBUTES)] = {}


class Identity(Event, frozen=True, kw_only=True):
    """An anonymous session logged in: all events of `anonymous_id`, before and after, belong to `user_id`.

    The earliest login of a session counts. A later login of another user on the same device changes nothing.
    """

    anonymous_id: Id
    user_id: Id


class UserTouched(Event, frozen=True, kw_only=True):
    """The graph of this user changed, and the change is durable. `event_time` is the time of the newest event."""

    user_id: Id


class ModelAnnouncement(Event, frozen=True, kw_only=True):
    """The registry changed. `status` is the value of `models.status`, `bundle` is the directory of the bundle."""

    model_version: Id
    status: Text
    bundle: Text


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message that is not a valid event: its bytes (base64 on the wire), its topic and offset, and the reason."""

    raw: bytes
    topic: str
    partition: int
    offset: int
    error: str
    first_seen: UtcTime


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The escape of a NUL. After a double backslash the same characters are plain text."""

_encoder = msgspec.json.Encoder()
_E = TypeVar("_E", bound=msgspec.Struct)
_T = TypeVar("_T")


def encode(event: msgspec.Struct) -> bytes:
    """Return the event as JSON, as it is sent to the topic."""
    return _encoder.encode(event)


@functools.cache
def _decoder(kind: type[_E]) -> msgspec.json.Decoder[_E]:
    return msgspec.json.Decoder(kind)


def decode(raw: bytes, kind: type[_E], *, now: datetime, max_bytes: int = MAX_EVENT_BYTES) -> _E:
    """Return the event in `raw`. Raises `InvalidEvent` for everything outside the contract.

    `event_time` must be after 1990 and at most one hour after `now`.
    """
    if len(raw) > max_bytes:
        raise InvalidEvent(f"{len(raw)} bytes, over the bound of {max_bytes}", "size")
    if b"\\u0000" in raw and _NUL.search(raw):
        raise InvalidEvent("a NUL character, which PostgreSQL cannot store", "nul")
    event: _E = decoded(raw, _decoder(kind))
    return check_time(event, now=now)


def decoded(raw: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Return what the decoder reads in the bytes. Raises `InvalidEvent`, whatever the decoder's error is."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidEvent(str(error), "field") from error
    except msgspec.MsgspecError as error:
        # msgspec 0.23 has its own error for bytes that are no UTF-8.
        raise InvalidEvent(str(error), "utf8" if "UTF-8" in str(error) else "json") from error
    except UnicodeDecodeError as error:
        raise InvalidEvent(str(error), "utf8") from error
    except RecursionError as error:
        raise InvalidEvent("the JSON is nested too deep", "json") from error


def check(event: _E, *, now: datetime) -> _E:
    """Return an event that a program built, as its readers will decode it. Raises `InvalidEvent` like `decode`.

    A struct checks nothing when it is built, so every door that sends events calls this or `decode` first.
    """
    try:
        raw = encode(event)
    except UnicodeEncodeError as error:
        raise InvalidEvent(str(error), "utf8") from error
    return decode(raw, type(event), now=now)


def id_problem(text: str) -> str | None:
    """Return why the text is not an id of the contract; None when it is one. For doors that take an id alone."""
    if not 1 <= len(text) <= MAX_ID_LENGTH:
        return f"{len(text)} characters, not 1 to {MAX_ID_LENGTH}"
    if "\x00" in text:
        return "a NUL character"
    return "not UTF-8" if any("\ud800" <= character <= "\udfff" for character in text) else None


def check_time(event: _E, *, now: datetime) -> _E:
    """Return the event. Raises `InvalidEvent` when its time is before 1990 or more than an hour after `now`."""
    if isinstance(event, Event):
        if event.event_time < EARLIEST:
            raise InvalidEvent(f"event_time {event.event_time.isoformat()} is before {EARLIEST.year}", "time")
        if event.event_time > now + MAX_FUTURE:
            raise InvalidEvent(f"event_time {event.event_time.isoformat()} is over {MAX_FUTURE} in the future", "time")
    return event


def milliseconds(time: datetime) -> int:
    """Return epoch milliseconds, the unit of all times in SQL and Redis. Exact, because no floats are used."""
    return (time - _EPOCH) // _MILLISECOND


def utc(epoch_milliseconds: int) -> datetime:
    """Return the UTC time of epoch milliseconds, the inverse of `milliseconds`."""
    return _EPOCH + epoch_milliseconds * _MILLISECOND
