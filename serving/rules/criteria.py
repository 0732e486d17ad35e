"""Criteria: which items a list may hold, as a slot or a request says it.

Arrives: a table of `slots.toml`, or parameters of a request. Leaves: a `Criteria`, which says of an item whether it
matches. Next: `serving.rules` filters candidates with it, `serving.online` the whole catalogue.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from graphstore.catalogue import Item

MAX_NAMES = 100
"""The largest number of names in one field: it bounds the work for one item."""
MAX_WITHOUT = 1000
MAX_ATTRIBUTES = 16
MAX_PRICE = 1e9

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
Names = Annotated[tuple[Name, ...], msgspec.Meta(max_length=MAX_NAMES)]
Price = Annotated[float, msgspec.Meta(ge=0.0, le=MAX_PRICE)]
Ids = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=128)], ...], msgspec.Meta(max_length=MAX_WITHOUT)
]


class Criteria(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Conditions on an item. All fields must hold; of the names in one field, one is enough. Empty: no condition."""

    categories: Names = ()
    brands: Names = ()
    price_min: Price | None = None
    price_max: Price | None = None
    """An item without a price never lies in a price range."""
    attributes: Annotated[dict[Name, Names], msgspec.Meta(max_length=MAX_ATTRIBUTES)] = {}
    """By name of the attribute: its values, as text (`true`, `42`)."""
    without_items: Ids = ()
    without_categories: Names = ()
    without_brands: Names = ()

    def matches(self, item: Item) -> bool:
        """Return whether the item fulfils every condition. Whether it can be bought is another question."""
        # Most criteria have one or two conditions, and a request asks for a hundred items: no generator for nothing.
        if self.categories and not _common(item.categories, self.categories):
            return False
        if self.brands and item.brand not in self.brands:
            return False
        if item.item_id in self.without_items or (self.without_brands and item.brand in self.without_brands):
            return False
        if self.without_categories and _common(item.categories, self.without_categories):
            return False
        if self.attributes and not self._has_attributes(item):
            return False
        return self._in_range(item.price)

    def __post_init__(self) -> None:
        """Raise `ValueError` for a price range without a price."""
        if self.price_min is not None and self.price_max is not None and self.price_min > self.price_max:
            raise ValueError(f"price_min {self.price_min:g} is above price_max {self.price_max:g}")

    def _has_attributes(self, item: Item) -> bool:
        return all(text_of(item.attributes.get(name)) in values for name, values in self.attributes.items())

    def _in_range(self, price: float | None) -> bool:
        if self.price_min is None and self.price_max is None:
            return True
        if price is None:
            return False
        low = self.price_min if self.price_min is not None else 0.0
        return low <= price and (self.price_max is None or price <= self.price_max)


NO_CRITERIA = Criteria()


def _common(names: Sequence[str], others: Sequence[str]) -> bool:
    return any(name in others for name in names)


def text_of(value: str | bool | int | float | None) -> str | None:
    """Return an attribute's value as the text that criteria compare: `true`, `false`, `42`, `2.5`."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if float(value).is_integer() else str(value)
