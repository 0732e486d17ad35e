"""Shopify: orders and products as its REST Admin API and its webhooks send them.

Arrives: an order (`line_items`, `financial_status`) or a product (`variants`), alone or in a list (`orders`,
`products`). Leaves: a purchase for each line, a take-back for each refunded line and for a cancelled order; or an item.
An item is a product, whatever its variant, because pages and clicks name products. https://shopify.dev/docs/api

Customers are known by their id, guests by their e-mail address. An order with neither is refused: its lines would
belong to nobody.
"""

from collections.abc import Iterator
from datetime import datetime

from stream.events import CatalogItem, EventType, Interaction
from stream.sources.event_names import taken_back_of
from stream.sources.shapes.fields import (
    Message,
    amount,
    at,
    currency_of,
    event_id,
    first,
    identifier,
    lines,
    needed,
    pieces,
    text_of,
    time_of,
)
from stream.sources.shapes.shape import Shape, Translated

USERS = ("customer.id", "email", "contact_email", "customer.email")
ITEMS = ("product_id", "sku", "variant_id")


def recognises(message: Message) -> bool:
    """Return whether the message is an order or a product of Shopify, or a list of them."""
    listed = [found for name in ("orders", "products") for found in lines(message, name)[:1]]
    one = listed[0] if listed else message
    ordered = "line_items" in one and ("financial_status" in one or "checkout_token" in one or "order_number" in one)
    return ordered or ("variants" in one and ("product_type" in one or "vendor" in one))


def translate(message: Message, received: datetime | None) -> list[Translated]:
    """Return the events of orders and the items of products. Raises `NotAnEvent`."""
    orders = [*lines(message, "orders"), *([message] if "line_items" in message else [])]
    products = [*lines(message, "products"), *([message] if "variants" in message else [])]
    found: list[Translated] = [event for order in orders for event in _order(order, received)]
    return found + [_product(product, received) for product in products]


def _order(order: Message, received: datetime | None) -> Iterator[Interaction]:
    time = time_of(order, "processed_at", "created_at", received=received)
    for line in lines(order, "line_items"):
        if identifier(line, *ITEMS) is not None:  # a tip or a gift card of the shop's own has no product
            yield _line(order, line, EventType.PURCHASE, time, pieces(line, "quantity"))
    if order.get("cancelled_at") is not None:
        cancelled = time_of(order, "cancelled_at", received=received)
        for line in lines(order, "line_items"):
            if identifier(line, *ITEMS) is not None:
                yield _line(order, line, EventType.CANCEL, cancelled, pieces(line, "quantity"))
        return
    refunds = lines(order, "refunds")
    for refund in refunds:
        for part in lines(refund, "refund_line_items"):
            refunded = at(part, "line_item")
            if isinstance(refunded, dict) and identifier(refunded, *ITEMS) is not None:
                when = time_of(refund, "processed_at", "created_at", received=time)
                yield _line(order, refunded, EventType.RETURN, when, pieces(part, "quantity"))
    whole = taken_back_of(text_of(order, "financial_status"))
    if whole is not None and not refunds:
        for line in lines(order, "line_items"):
            if identifier(line, *ITEMS) is not None:
                when = time_of(order, "updated_at", received=time)
                yield _line(order, line, whole, when, pieces(line, "quantity"))


def _line(order: Message, line: Message, kind: EventType, time: datetime, quantity: float | None) -> Interaction:
    number = needed(order, "id", "name", "order_number")
    part = identifier(line, "id") or needed(line, *ITEMS)
    return Interaction(
        event_id=event_id("shopify", number, part, kind.value, of=line),
        event_type=kind,
        user_id=needed(order, *USERS),
        item_id=needed(line, *ITEMS),
        event_time=time,
        value=amount(line, "price"),
        quantity=quantity,
        order_id=number,
        currency=currency_of(order, "currency", "presentment_currency"),
    )


def _product(product: Message, received: datetime | None) -> CatalogItem:
    variants = lines(product, "variants")
    counts = [amount(variant, "inventory_quantity") for variant in variants if _counted(variant)]
    stock = None if len(counts) < len(variants) or not counts else max(0, int(sum(filter(None, counts))))
    prices = [price for variant in variants if (price := amount(variant, "price")) is not None]
    handle = text_of(product, "handle")
    return CatalogItem(
        item_id=needed(product, "id"),
        title=text_of(product, "title"),
        categories=[name] if (name := text_of(product, "product_type")) else [],
        brand=text_of(product, "vendor"),
        price=min(prices, default=None),
        available=product.get("status", "active") == "active",
        url=f"/products/{handle}" if handle else "",
        image_url=text_of(product, "image.src") or str(first(next(iter(lines(product, "images")), {}), "src") or ""),
        stock=stock,
        event_time=time_of(product, "updated_at", "created_at", received=received),
    )


def _counted(variant: Message) -> bool:
    """Return whether Shopify counts the stock of a variant and sells nothing below zero."""
    return variant.get("inventory_management") is not None and variant.get("inventory_policy", "deny") == "deny"


SHOPIFY = Shape("shopify", recognises, translate)
