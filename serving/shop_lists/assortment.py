"""Assortment: which items can be bought, and in which categories they are, as columns for the shop lists.

Arrives: rows of `items`. Leaves: an `Assortment`. Next: `serving.shop_lists.ranked` cuts lists along it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select

from graphstore.arrays import IntArray
from graphstore.tables import for_sale, items

MAX_CATEGORIES = 10_000
"""Categories with lists, the largest ones. A shop that makes a category of each item must not fill Redis with lists."""


@dataclass(frozen=True)
class Assortment:
    """The items that can be bought, by ascending key, and their places in categories."""

    item_keys: IntArray  # [n]
    names: list[str]
    """The categories, [c]."""
    rows: IntArray  # [m], the item of each place, as a row of `item_keys`
    categories: IntArray  # [m], the category of each place, as a row of `names`

    def sizes(self) -> dict[str, int]:
        """Return the number of items in each category."""
        counted = np.bincount(self.categories, minlength=len(self.names))
        return dict(zip(self.names, counted.tolist(), strict=True))


def read_assortment(connection: Connection, *, sold_out_too: bool = False) -> Assortment:
    """Read the items that can be bought now; with `sold_out_too`, all items. A category counts once for an item."""
    query = select(items.c.item_key, items.c.categories).order_by(items.c.item_key)
    found = connection.execute(query if sold_out_too else query.where(for_sale))
    return assortment_of((key, json.loads(raw)) for key, raw in found)


def assortment_of(found: Iterable[tuple[int, Iterable[str]]]) -> Assortment:
    """Return the assortment of items (key, categories) by ascending key. A category counts once for an item."""
    numbers: dict[str, int] = {}
    keys, rows, categories = [], [], []
    for row, (key, names) in enumerate(found):
        keys.append(key)
        for name in dict.fromkeys(filter(None, names)):  # "" is the name of the whole shop
            rows.append(row)
            categories.append(numbers.setdefault(name, len(numbers)))
    return _largest(
        Assortment(
            np.array(keys, dtype=np.int64),
            list(numbers),
            np.array(rows, dtype=np.int64),
            np.array(categories, dtype=np.int64),
        )
    )


def _largest(found: Assortment) -> Assortment:
    """Return the assortment with the `MAX_CATEGORIES` largest categories, of equal ones those of older items."""
    if len(found.names) <= MAX_CATEGORIES:
        return found
    sizes = np.bincount(found.categories, minlength=len(found.names))
    kept = np.sort(np.argsort(-sizes, kind="stable")[:MAX_CATEGORIES])
    places = np.isin(found.categories, kept)
    names = [found.names[number] for number in kept.tolist()]
    return Assortment(
        found.item_keys, names, found.rows[places], np.searchsorted(kept, found.categories[places]).astype(np.int64)
    )
