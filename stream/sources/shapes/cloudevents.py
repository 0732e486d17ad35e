"""CloudEvents 1.0: an envelope (`specversion`, `id`, `source`, `type`, `time`) around data of any shop.

Arrives: an envelope in structured mode. Leaves: interactions. Its data are either the fields of our own contract under
the names that shops use, or a message of another shape, which is translated as such. The type of the event is the
`event_type` of the data, else the end of the envelope's `type`, in which dots part the words: one that ends with
`product` and `viewed` is a view. The source and the id together name the event, as the specification says. https://github.com/cloudevents/spec
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from stream.events import EventType, Interaction
from stream.sources.event_names import event_type_of
from stream.sources.shapes.fields import (
    Message,
    NotAnEvent,
    amount,
    at,
    currency_of,
    event_id,
    first,
    identifier,
    lines,
    needed,
    pieces,
    signed,
    time_of,
)
from stream.sources.shapes.ga4 import GA4
from stream.sources.shapes.segment import SEGMENT
from stream.sources.shapes.shape import Shape, Translated

INSIDE = (SEGMENT, GA4)
"""The shapes that data may have."""
USERS = ("data.user_id", "data.userId", "data.customer_id", "data.customerId", "subject")
ITEMS = ("item_id", "itemId", "product_id", "productId", "sku")
LISTS = ("data.items", "data.products", "data.line_items")


def recognises(message: Message) -> bool:
    """Return whether the message is an envelope."""
    return "specversion" in message and "type" in message


def translate(message: Message, received: datetime | None) -> list[Translated]:
    """Return the events of an envelope. Raises `NotAnEvent`."""
    data: Any = message.get("data")
    if not isinstance(data, Mapping):
        raise NotAnEvent("data", "no object in it: base64 and other contents are not read")
    inside = next((shape for shape in INSIDE if shape.recognises(data)), None)
    time = time_of(message, "time", received=received) if message.get("time") or received else None
    if inside is not None:
        return inside.translate(data, time)
    kind = _type(message)
    if kind is None:
        return []
    products = next((found for path in LISTS if (found := lines(message, path))), [data])
    return [
        _interaction(message, product, None if len(products) == 1 else str(place), kind, received)
        for place, product in enumerate(products)
    ]


def _type(message: Message) -> EventType | None:
    written = first(message, "data.event_type", "data.event", "data.type")
    if written is not None:
        return event_type_of(str(written))
    parts = str(message["type"]).replace("/", ".").split(".")
    if parts[-1][:1] == "v" and parts[-1][1:].isdigit():  # com.shop.product.viewed.v1
        parts = parts[:-1]
    return event_type_of("_".join(parts[-2:])) or event_type_of(parts[-1])


def _interaction(
    message: Message, product: Message, place: str | None, kind: EventType, received: datetime | None
) -> Interaction:
    source, own = identifier(message, "source"), identifier(message, "id")
    if identifier(product, *ITEMS) is None:
        raise NotAnEvent("data.item_id", "no id")
    rated = amount(product, "rating", "value") if kind is EventType.RATING else amount(product, "price", "value")
    return Interaction(
        event_id=event_id(source, own, *filter(None, [place]), of=message),
        event_type=signed(kind, product, "quantity"),
        user_id=needed(message, *USERS),
        item_id=needed(product, *ITEMS),
        event_time=time_of(message, "data.event_time", "data.timestamp", "time", received=received),
        value=rated,
        quantity=pieces(product, "quantity"),
        request_id=identifier(message, "data.request_id"),
        order_id=identifier(message, "data.order_id", "data.orderId"),
        currency=currency_of(product, "currency") or currency_of(at(message, "data"), "currency"),
    )


CLOUDEVENTS = Shape("cloudevents", recognises, translate)
