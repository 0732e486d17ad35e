"""Snowplow: enriched events, as JSON of its analytics SDKs, or as lines of tab separated fields.

Arrives: an enriched event by the names of its fields. Leaves: interactions of the classic transactions
(`transaction_item`) and of the ecommerce plug-in (`snowplow_ecommerce_action` with `product` entities). The id is
`event_id`. The shopper is `user_id`, else the first-party cookie `domain_userid`, else `network_userid`.
https://docs.snowplow.io/docs/fundamentals/canonical-event/
"""

import json
from datetime import datetime
from typing import Any

from stream.events import EventType, Interaction
from stream.sources.shapes.fields import (
    Message,
    NotAnEvent,
    amount,
    at,
    currency_of,
    event_id,
    identifier,
    needed,
    pieces,
    signed,
    time_of,
)
from stream.sources.shapes.shape import Shape, Translated

FIELDS = {
    **{"collector_tstamp": 3, "dvce_created_tstamp": 4, "event": 5, "event_id": 6, "user_id": 12, "domain_userid": 15},
    **{"network_userid": 17, "contexts": 52, "unstruct_event": 58, "ti_orderid": 67, "ti_sku": 68, "ti_price": 71},
    **{"ti_quantity": 72},
}
"""The places (from 0) of the fields that are read, among the tab separated fields of a line."""
TSV_FIELDS = 131
USERS = ("user_id", "domain_userid", "network_userid")
TIMES = ("derived_tstamp", "dvce_created_tstamp", "collector_tstamp")
ACTIONS = {
    **{"product_view": EventType.VIEW, "list_click": EventType.CLICK, "add_to_cart": EventType.CART},
    **{"transaction": EventType.PURCHASE, "refund": EventType.RETURN},
}


def message_of(line: str) -> Message:
    """Return a line of tab separated fields as a message. Raises `NotAnEvent` for another number of fields."""
    cells = line.rstrip("\r\n").split("\t")
    if len(cells) < TSV_FIELDS - 3:  # older versions have a few fields less, all at the end
        raise NotAnEvent("", f"{len(cells)} fields, not {TSV_FIELDS}")
    found: dict[str, Any] = {name: cells[place] for name, place in FIELDS.items() if cells[place]}
    for name in ("contexts", "unstruct_event"):
        if name in found:
            try:
                found[name] = json.loads(found[name])
            except (ValueError, RecursionError) as error:
                raise NotAnEvent(name, "no JSON") from error
    return found


def recognises(message: Message) -> bool:
    """Return whether the message is an enriched event."""
    return "collector_tstamp" in message and "event_id" in message


def translate(message: Message, received: datetime | None) -> list[Translated]:
    """Return the events of an enriched event. Raises `NotAnEvent`."""
    if message.get("event") == "transaction_item":
        product = {name: message.get(f"ti_{name}") for name in ("sku", "price", "quantity")}
        return [_interaction(message, product, None, EventType.PURCHASE, received, order="ti_orderid")]
    action = _action(message)
    kind = ACTIONS.get(str(at(action, "type")))
    if kind is None:
        return []
    products = _entities(message, "product")
    if not products:
        raise NotAnEvent("contexts", "no product among the entities")
    transaction = next(iter(_entities(message, "transaction")), {})
    whole = {**message, "order": identifier(transaction, "transaction_id")}
    many = len(products) > 1
    return [
        _interaction(whole, product, str(place) if many else None, kind, received, order="order")
        for place, product in enumerate(products)
    ]


def _action(message: Message) -> Any:
    data = at(message, "unstruct_event.data")
    if isinstance(data, dict) and "/snowplow_ecommerce_action/" in str(data.get("schema")):
        return data.get("data")
    return next(  # as the SDKs name it: the schema's vendor, name and version in one word
        (value for name, value in message.items() if name.startswith("unstruct_event_") and "ecommerce_action" in name),
        None,
    )


def _entities(message: Message, kind: str) -> list[Message]:
    nested = at(message, "contexts.data")
    if isinstance(nested, list):
        return [
            entity["data"]
            for entity in nested
            if isinstance(entity, dict)
            and f".ecommerce/{kind}/" in str(entity.get("schema"))
            and isinstance(entity.get("data"), dict)
        ]
    begin = f"contexts_com_snowplowanalytics_snowplow_ecommerce_{kind}_"
    found = [value for name, value in message.items() if name.startswith(begin) and isinstance(value, list)]
    return [entity for entities in found for entity in entities if isinstance(entity, dict)]


def _interaction(
    message: Message,
    product: Message,
    place: str | None,
    kind: EventType,
    received: datetime | None,
    *,
    order: str,
) -> Interaction:
    if identifier(product, "id", "sku") is None:
        raise NotAnEvent("product.id", "no id")
    return Interaction(
        event_id=event_id(needed(message, "event_id"), *filter(None, [place]), of=message),
        event_type=signed(kind, product, "quantity"),
        user_id=needed(message, *USERS),
        item_id=needed(product, "id", "sku"),
        event_time=time_of(message, *TIMES, received=received),
        value=amount(product, "price"),
        quantity=pieces(product, "quantity"),
        order_id=identifier(message, order) if kind in (EventType.PURCHASE, EventType.RETURN) else None,
        currency=currency_of(product, "currency"),
    )


SNOWPLOW = Shape("snowplow", recognises, translate)
