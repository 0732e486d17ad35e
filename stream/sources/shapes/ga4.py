"""Google Analytics 4: rows of its BigQuery export, and bodies of its Measurement Protocol.

Arrives: an exported row (`event_name`, `event_timestamp` in microseconds, nested `items`), or a body with `client_id`
and `events`. Leaves: an interaction for each item. Neither has an id of its own: the same event gives the same id,
made of the shopper, the time, the name and the item. https://support.google.com/analytics/answer/7029846

BigQuery writes whole numbers as text; both are read. `view_item_list` and the like are not about one item and give
nothing.
"""

from collections.abc import Iterator
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
    identifier,
    lines,
    needed,
    pieces,
    signed,
    time_of,
)
from stream.sources.shapes.shape import Shape, Translated

ITEMS = ("item_id", "item_name")
USERS = ("user_id", "user_pseudo_id", "client_id", "app_instance_id")


def recognises(message: Message) -> bool:
    """Return whether the message is an exported row or a body of the Measurement Protocol."""
    exported = "event_name" in message and ("event_timestamp" in message or "user_pseudo_id" in message)
    return exported or (isinstance(message.get("events"), list) and ("client_id" in message or "user_id" in message))


def translate(message: Message, received: datetime | None) -> list[Translated]:
    """Return the events of a row or body. Raises `NotAnEvent`."""
    if "event_name" in message:
        return list(_exported(message, received))
    found: list[Translated] = []
    for place, event in enumerate(lines(message, "events")):
        try:
            found += _of_protocol(message, event, received)
        except NotAnEvent as error:
            raise NotAnEvent(f"events[{place}].{error.field}", str(error).rpartition(" - ")[0]) from error
    return found


def _exported(row: Message, received: datetime | None) -> Iterator[Interaction]:
    kind = event_type_of(str(row["event_name"]))
    if kind is None or kind is EventType.RATING:
        return
    parameters = {str(at(pair, "key")): _value(at(pair, "value")) for pair in lines(row, "event_params")}
    common = {"currency": parameters.get("currency"), "transaction_id": parameters.get("transaction_id")}
    time = time_of(row, "event_timestamp", received=received)
    order = identifier(row, "ecommerce.transaction_id") or identifier(common, "transaction_id")
    for item in _items(row, "items"):
        yield _interaction(kind, needed(row, *USERS), time, item, order=order, currency=currency_of(common, "currency"))


def _of_protocol(body: Message, event: Message, received: datetime | None) -> Iterator[Interaction]:
    kind = event_type_of(str(event.get("name", "")))
    if kind is None or kind is EventType.RATING:
        return
    stamped = {"event": event.get("timestamp_micros"), "body": body.get("timestamp_micros")}
    time = time_of(stamped, "event", "body", received=received)
    order = identifier(event, "params.transaction_id")
    currency = currency_of(event, "params.currency")
    for item in _items(event, "params.items"):
        yield _interaction(kind, needed(body, *USERS), time, item, order=order, currency=currency)


def _items(message: Message, path: str) -> Iterator[tuple[int, Message]]:
    found = lines(message, path)
    if not found:
        raise NotAnEvent(path, "no items")
    yield from enumerate(found)


def _interaction(
    kind: EventType, user: str, time: datetime, item: tuple[int, Message], *, order: str | None, currency: str | None
) -> Interaction:
    place, fields = item
    item_id = identifier(fields, *ITEMS)
    if item_id is None or item_id == "(not set)":
        raise NotAnEvent(f"items[{place}].item_id", "no id")
    made_of = {"user": user, "time": time.isoformat(), "kind": kind.value, "item": item_id, "place": place}
    if order is not None and kind is EventType.PURCHASE:
        made_of = {"order": order, "item": item_id, "place": place}  # browsers send a purchase again on a reload
    return Interaction(
        event_id=event_id(None, of=made_of),
        event_type=signed(kind, fields, "quantity"),
        user_id=user,
        item_id=item_id,
        event_time=time,
        value=amount(fields, "price", "price_in_usd"),
        quantity=pieces(fields, "quantity"),
        order_id=order if kind in (EventType.PURCHASE, EventType.RETURN) else None,
        currency=currency_of(fields, "currency") or currency,
    )


def _value(value: Any) -> Any:
    """Return the value of a parameter, which stands in the field of its type."""
    if not isinstance(value, dict):
        return None
    names = ("string_value", "int_value", "double_value", "float_value")
    return next((value[name] for name in names if value.get(name) is not None), None)


GA4 = Shape("ga4", recognises, translate)
