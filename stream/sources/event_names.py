"""Event names: the types of events as shops, trackers and published files call them.

Arrives: the cells of a column of types, and of order states. Leaves: types of `stream.events.EventType`; other words
stay as they are, and `stream.sources.rules` refuses their rows. Next: `stream.sources.tabular`.
"""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from stream.sources.formats.columns import text

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

_KNOWN = {name: kind for kind, names in TYPE_NAMES.items() for name in names}
_STATES = {state: kind for kind, states in TAKEN_BACK.items() for state in states}
_BETWEEN = re.compile(r"[\s\-.]+")


def plain_event(name: str) -> str:
    """Return a name for comparison: small letters, `_` between words (`Product Added`, `add-to-cart`)."""
    return _BETWEEN.sub("_", name.strip().casefold())


def event_types(column: "pd.Series[Any]", given: Mapping[str, str] | None = None) -> "pd.Series[str]":
    """Return the type of each cell. `given` maps names of the file to types, and comes first."""
    names = {plain_event(name): kind for name, kind in (given or {}).items()}
    written = text(column)
    found = {cell: names.get(plain_event(cell)) or _KNOWN.get(plain_event(cell), cell) for cell in written.unique()}
    return written.map(found).astype("string")


def taken_back(column: "pd.Series[Any]") -> "pd.Series[str]":
    """Return `return` or `cancel` where the state of an order says so, else an empty text."""
    written = text(column)
    found = {cell: _STATES.get(plain_event(cell), "") for cell in written.unique()}
    return written.map(found).astype("string")
