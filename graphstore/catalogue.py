"""What the shop knows of its items: one by one as readers see them, and as columns for snapshots and models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import msgspec
import numpy as np

from graphstore.arrays import BoolArray, Float32Array


@dataclass(frozen=True)
class Catalogue:
    """What the shop knows of the items, row i of every list being item i of the snapshot."""

    titles: list[str]
    categories: list[list[str]]
    brands: list[str]
    prices: Float32Array  # [num_items], NaN where unknown
    available: BoolArray  # [num_items]

    def take(self, rows: Sequence[int | None]) -> Self:
        """The items at these rows, in this order; None for one of which nothing is known and which is not available."""
        return type(self)(
            titles=["" if row is None else self.titles[row] for row in rows],
            categories=[[] if row is None else self.categories[row] for row in rows],
            brands=["" if row is None else self.brands[row] for row in rows],
            prices=np.array([np.nan if row is None else self.prices[row] for row in rows], dtype=np.float32),
            available=np.array([row is not None and bool(self.available[row]) for row in rows], dtype=np.bool_),
        )


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a reader needs of an item. `available` says whether it can be bought now: it is offered and in stock."""

    item_key: int
    item_id: str
    title: str = ""
    categories: list[str] = []
    brand: str = ""
    price: float | None = None
    available: bool = True
    attributes: dict[str, str | bool | int | float] = {}
    url: str = ""
    image_url: str = ""
    stock: int | None = None
    product_id: str | None = None
