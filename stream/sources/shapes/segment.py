"""Segment's ecommerce spec v2, which RudderStack and PostHog send, too.

Arrives: `track`, `identify` and `alias` messages. Leaves: an interaction for each product, what is known of a user, and
logins. A message about several products (`Order Completed`) gives one event for each; its id is the message's with the
product's number. https://segment.com/docs/connections/spec/ecommerce/v2/

`userId` comes before `anonymousId`. Events that say nothing about one item (`Cart Viewed`, `Checkout Started`) and
`Product Removed` give nothing.
"""

from datetime import datetime

from stream.events import EventType, Identity, Interaction, UserAttributes
from stream.sources.event_names import event_type_of
from stream.sources.shapes.fields import (
    Message,
    NotAnEvent,
    amount,
    at,
    currency_of,
    event_id,
    identifier,
    lines,
    needed,
    pieces,
    signed,
    text_of,
    time_of,
)
from stream.sources.shapes.shape import Shape, Translated

USERS = ("userId", "user_id", "anonymousId", "anonymous_id", "distinct_id")
TIMES = ("timestamp", "originalTimestamp", "original_timestamp", "sentAt", "sent_at", "receivedAt")
IDS = ("messageId", "message_id", "uuid")
ITEMS = ("product_id", "productId", "id", "sku", "SKU")
MAX_TRAITS = 64


def recognises(message: Message) -> bool:
    """Return whether the message has the names of a call of Segment or of an event of PostHog."""
    called = message.get("type") in ("track", "identify", "alias", "page", "screen", "group")
    captured = "event" in message and "distinct_id" in message
    return (called or captured or ("event" in message and "properties" in message)) and any(
        name in message for name in (*USERS, "properties", "previousId")
    )


def translate(message: Message, received: datetime | None) -> list[Translated]:
    """Return the events of a message. Raises `NotAnEvent`."""
    kind = message.get("type")
    if kind == "identify" or message.get("event") == "$identify":
        return _identified(message, received)
    if kind == "alias":
        return [_login(needed(message, "previousId", "previous_id"), needed(message, "userId"), message, received)]
    event_type = event_type_of(str(message.get("event", "")).removeprefix("$"))
    if kind not in (None, "track") or event_type is None:
        return []
    properties = at(message, "properties")
    products = lines(message, "properties.products")
    if not products:
        if event_type in (EventType.RETURN, EventType.CANCEL) and identifier(properties, *ITEMS) is None:
            raise NotAnEvent("properties.products", "which products it takes back is not said")
        products = [properties] if isinstance(properties, dict) else []
    if not products:
        raise NotAnEvent("properties", "no product")
    return [
        _interaction(message, product, None if len(products) == 1 else place, event_type, received)
        for place, product in enumerate(products)
    ]


def _interaction(
    message: Message, product: Message, place: int | None, event_type: EventType, received: datetime | None
) -> Interaction:
    found = identifier(product, *ITEMS[:2], *ITEMS[3:], ITEMS[2])
    if found is None:
        raise NotAnEvent("properties.product_id" if place is None else f"properties.products[{place}]", "no id")
    number = None if place is None else str(place)
    own = identifier(message, *IDS)
    value = amount(product, "rating") if event_type is EventType.RATING else amount(product, "price")
    return Interaction(
        event_id=event_id(own, *filter(None, [number]), of=message),
        event_type=signed(event_type, product, "quantity"),
        user_id=needed(message, *USERS),
        item_id=found,
        event_time=time_of(message, *TIMES, received=received),
        value=value,
        quantity=pieces(product, "quantity"),
        request_id=identifier(product, "request_id") or identifier(message, "properties.request_id"),
        order_id=identifier(message, "properties.order_id", "properties.orderId"),
        currency=currency_of(product, "currency") or currency_of(message, "properties.currency"),
    )


def _identified(message: Message, received: datetime | None) -> list[Translated]:
    user, session = identifier(message, *USERS[:2]), identifier(message, *USERS[2:4], "properties.$anon_distinct_id")
    if user is None:
        user = identifier(message, "distinct_id")
    found: list[Translated] = []
    if user is not None and session is not None and user != session:
        found.append(_login(session, user, message, received))
    traits = at(message, "traits") or at(message, "properties.$set")
    named = user or session
    if isinstance(traits, dict) and named is not None:
        kept = {
            name: text_of(traits, name) if isinstance(value, str) else value
            for name, value in traits.items()
            if isinstance(value, str | bool | int | float) and 1 <= len(name) <= 64 and "." not in name
        }
        attributes = dict(list(kept.items())[:MAX_TRAITS])
        found.append(
            UserAttributes(user_id=named, attributes=attributes, event_time=time_of(message, *TIMES, received=received))
        )
    return found


def _login(session: str, user: str, message: Message, received: datetime | None) -> Identity:
    return Identity(anonymous_id=session, user_id=user, event_time=time_of(message, *TIMES, received=received))


SEGMENT = Shape("segment", recognises, translate)
