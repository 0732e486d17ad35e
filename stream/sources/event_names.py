"""Event names: the types of events as shops, trackers and published files call them.

Arrives: a name of a type, or the state of an order. Leaves: a type of `stream.events.EventType`. Next:
`stream.sources.cell_columns` for columns of files, `stream.sources.shapes` for messages.
"""

import re
from collections.abc import Mapping

from stream.events import EventType

TYPE_NAMES: Mapping[str, tuple[str, ...]] = {
    "view": (
        *("view", "views", "pv", "page_view", "pageview", "view_item", "item_view", "product_view", "product_viewed"),
        *("viewed_product", "viewed", "detail", "detail_view"),
    ),
    "click": ("click", "clicks", "clicked", "product_click", "product_clicked", "select_item", "item_click"),
    "cart": (
        *("cart", "carts", "addtocart", "add_to_cart", "added_to_cart", "product_added", "product_added_to_cart"),
        *("add_to_basket", "basket"),
    ),
    "purchase": (
        *("purchase", "purchases", "purchased", "buy", "bought", "transaction", "order", "orders", "ordered"),
        *("order_completed", "completed_order", "order_complete", "order_placed", "product_purchased", "checkout"),
    ),
    "rating": ("rating", "rate", "rated", "review"),
    "return": ("return", "returned", "refund", "refunded", "order_refunded", "product_returned"),
    "cancel": ("cancel", "cancelled", "canceled", "order_cancelled", "order_canceled"),
}
"""The names of each type in small letters, with `_` between words."""

TAKEN_BACK: Mapping[str, tuple[str, ...]] = {
    "return": ("refunded", "returned", "wc_refunded", "refund"),
    "cancel": ("cancelled", "canceled", "wc_cancelled", "wc_canceled", "voided"),
}
"""States of an order whose purchase was taken back."""

NO_EVENTS = frozenset(
    (
        *("remove_from_cart", "removefromcart", "removed_from_cart", "product_removed", "cart_viewed"),
        *("checkout_started", "begin_checkout"),
    )
)
"""Names of what shops and trackers tell and no type is for. Their rows are no error."""

LIKED = 5.0
"""The rating that a feedback of Gorse without a value means, when its type says that the user likes the item."""
FEEDBACK: Mapping[str, tuple[EventType, float | None]] = {
    "read": (EventType.VIEW, None),
    "like": (EventType.RATING, LIKED),
    "star": (EventType.RATING, LIKED),
    "favorite": (EventType.RATING, LIKED),
}
"""Types of feedback that are Gorse's own, beside the names above."""

_KNOWN = {name: EventType(kind) for kind, names in TYPE_NAMES.items() for name in names}
_STATES = {state: EventType(kind) for kind, states in TAKEN_BACK.items() for state in states}
_BETWEEN = re.compile(r"[\s\-.]+")


def plain_event(name: str) -> str:
    """Return a name for comparison: small letters, `_` between words (`Product Added`, `add-to-cart`)."""
    return _BETWEEN.sub("_", name.strip().casefold())


def event_type_of(name: str) -> EventType | None:
    """Return the type that a name means, None for a name that is none of them."""
    return _KNOWN.get(plain_event(name))


def means_nothing(name: str) -> bool:
    """Return whether a name is known and means no event."""
    return plain_event(name) in NO_EVENTS


def taken_back_of(state: str) -> EventType | None:
    """Return `return` or `cancel` where the state of an order says so, else None."""
    return _STATES.get(plain_event(state))
