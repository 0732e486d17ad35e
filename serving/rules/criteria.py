"""Criteria: which items a list may hold, as a slot or a request says it.

Arrives: a table of `slots.toml`, or parameters of a request. Leaves: a `Criteria`, which says of an item whether it
matches. Next: `serving.rules` filters candidates with it, `serving.online` the whole catalogue.
"""

from typing import Annotated

import msgspec

from graphstore.catalogue import Item

MAX_NAMES = 100
"""The largest number of names in one field: it bounds the work for one item."""
MAX_WITHOUT = 1000

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
Names = Annotated[tuple[Name, ...], msgspec.Meta(max_length=MAX_NAMES)]
Price = Annotated[float, msgspec.Meta(ge=0.0, le=1e9)]
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
    attributes: Annotated[dict[Name, Names], msgspec.Meta(max_length=16)] = {}
    """By name of the attribute: its values, as text (`true`, `42`)."""
    without_items: Ids = ()
    without_categories: Names = ()
    without_brands: Names = ()

    def matches(self, item: Item) -> bool:
        """Return whether the item fulfils every condition. Whether it can be bought is another question."""
        return (
            (not self.categories or any(name in self.categories for name in item.categories))
            and (not self.brands or item.brand in self.brands)
            and self._in_range(item.price)
            and all(text_of(item.attributes.get(name)) in values for name, values in self.attributes.items())
            and item.item_id not in self.without_items
            and not any(name in self.without_categories for name in item.categories)
            and not (self.without_brands and item.brand in self.without_brands)
        )

    def _in_range(self, price: float | None) -> bool:
        if self.price_min is None and self.price_max is None:
            return True
        if price is None:
            return False
        low = self.price_min if self.price_min is not None else 0.0
        return low <= price and (self.price_max is None or price <= self.price_max)


NO_CRITERIA = Criteria()


def text_of(value: str | bool | int | float | None) -> str | None:
    """Return an attribute's value as the text that criteria compare: `true`, `false`, `42`, `2.5`."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if float(value).is_integer() else str(value)
