"""WooCommerce: orders and products as its REST API and its webhooks send them.

Arrives: an order (`line_items`, `status`, `customer_id`) or a product (`stock_status`). Leaves: a purchase for each
line, a take-back for a cancelled or refunded order; or an item. `customer_id` 0 is every guest: guests are known by the
e-mail address of their bill. https://woocommerce.github.io/woocommerce-rest-api-docs/

An order that was not paid yet, or failed, gives nothing.
"""

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

NOT_BOUGHT = ("pending", "failed", "checkout-draft", "trash")
TIMES = ("date_created_gmt", "date_created")


def recognises(message: Message) -> bool:
    """Return whether the message is an order or a product of WooCommerce."""
    ordered = "line_items" in message and "billing" in message and "status" in message
    return ordered or ("stock_status" in message and "permalink" in message)


def translate(message: Message, received: datetime | None) -> list[Translated]:
    """Return the events of an order, or the item of a product. Raises `NotAnEvent`."""
    if "line_items" not in message:
        return [_product(message, received)]
    state = text_of(message, "status")
    if state in NOT_BOUGHT:
        return []
    time = time_of(message, *TIMES, received=received)
    found: list[Translated] = [_line(message, line, EventType.PURCHASE, time) for line in lines(message, "line_items")]
    back = taken_back_of(state)
    if back is not None:
        when = time_of(message, "date_modified_gmt", "date_modified", received=time)
        found += [_line(message, line, back, when) for line in lines(message, "line_items")]
    return found


def _line(order: Message, line: Message, kind: EventType, time: datetime) -> Interaction:
    number = needed(order, "id", "number")
    part = identifier(line, "id") or needed(line, "product_id", "sku")
    customer = identifier(order, "customer_id")
    return Interaction(
        event_id=event_id("woocommerce", number, part, kind.value, of=line),
        event_type=kind,
        user_id=needed(order, "billing.email", "meta.email") if customer in (None, "0") else str(customer),
        item_id=needed(line, "product_id", "sku"),
        event_time=time,
        value=amount(line, "price"),
        quantity=pieces(line, "quantity"),
        order_id=number,
        currency=currency_of(order, "currency"),
    )


def _product(product: Message, received: datetime | None) -> CatalogItem:
    stock = amount(product, "stock_quantity") if product.get("manage_stock") is True else None
    names = [text_of(category, "name") for category in lines(product, "categories")]
    return CatalogItem(
        item_id=needed(product, "id"),
        title=text_of(product, "name"),
        categories=[name for name in names if name][:32],
        brand=str(first(next(iter(lines(product, "brands")), {}), "name") or ""),
        price=amount(product, "price", "regular_price"),
        available=at(product, "stock_status") != "outofstock" and product.get("status", "publish") == "publish",
        url=text_of(product, "permalink", length=2048),
        image_url=str(first(next(iter(lines(product, "images")), {}), "src") or ""),
        stock=None if stock is None else max(0, int(stock)),
        event_time=time_of(product, "date_modified_gmt", "date_modified", *TIMES, received=received),
    )


WOOCOMMERCE = Shape("woocommerce", recognises, translate)
