"""Item features from the catalogue: what is known of an item that nobody bought yet.

Arrives: `graphstore.snapshot.Catalogue`. Leaves: one row of numbers for each item. Next: a snapshot's `item.x`, read
by `training.model`.

A fitted encoder is kept with the model and applied unchanged to items that come later, so a column means the same for
all of them. Categories and brands are hashed (Weinberger et al., "Feature hashing", 2009): a name never seen before
has its place at once.
"""

import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from graphstore.catalogue import Catalogue
from training.text import TextEncoder

FEATURE_SEED = 0
"""Item features belong to the data, not to a run: one seed for all."""

MIN_PRICED_ITEMS = 5
"""A category with fewer prices takes the mean and spread of the whole catalogue."""

MAX_PRICE_DEVIATION = 3.0

WHOLE_CATALOGUE = ""

NUMBER_COLUMNS = 5
"""The last columns of a row: relative price, and a flag for each of four things that may be missing."""


@dataclass(frozen=True)
class ItemEncoder:
    """Columns: text, hashed categories, hashed brand, relative price, and a flag for each thing that is missing."""

    text: TextEncoder
    category_dim: int
    brand_dim: int
    prices: dict[str, tuple[float, float]]
    """Mean and standard deviation of the log price in each category; "" for the whole catalogue."""

    @classmethod
    def fit(
        cls, catalogue: Catalogue, *, text_dim: int = 32, category_dim: int = 64, brand_dim: int = 32, seed: int
    ) -> Self:
        """Learn words, directions and price levels; equal catalogues and seeds give equal encoders."""
        by_category: dict[str, list[float]] = defaultdict(list)
        for categories, price in zip(catalogue.categories, catalogue.prices, strict=True):
            if price >= 0:  # false for NaN
                for category in {WHOLE_CATALOGUE, *categories}:
                    by_category[category].append(float(np.log1p(price)))
        return cls(
            text=TextEncoder.fit(_texts(catalogue), dim=text_dim, seed=seed),
            category_dim=category_dim,
            brand_dim=brand_dim,
            prices={
                category: (float(np.mean(logs)), float(np.std(logs)))
                for category, logs in sorted(by_category.items())
                if len(logs) >= MIN_PRICED_ITEMS or category == WHOLE_CATALOGUE
            },
        )

    @property
    def width(self) -> int:
        return self.text.components.size(0) + self.category_dim + self.brand_dim + NUMBER_COLUMNS

    def transform(self, catalogue: Catalogue) -> Tensor:
        """Features [num_items, width] float32, a row depending on its item alone."""
        price = torch.tensor(
            [self._price(*item) for item in zip(catalogue.categories, catalogue.prices, strict=True)]
        ).reshape(-1, 1)
        missing = torch.tensor(
            [
                [not title.strip(), not categories, not brand, not price >= 0]
                for title, categories, brand, price in zip(
                    catalogue.titles, catalogue.categories, catalogue.brands, catalogue.prices, strict=True
                )
            ]
        ).reshape(-1, 4)
        return torch.cat(
            [
                self.text.transform(_texts(catalogue)),
                hashed(catalogue.categories, self.category_dim),
                hashed([[brand] if brand else [] for brand in catalogue.brands], self.brand_dim),
                price,
                missing.float(),
            ],
            dim=1,
        )

    def _price(self, categories: list[str], price: float) -> float:
        """Deviations of the log price from the mean of the item's narrowest category; 0 without a price."""
        if not price >= 0 or not self.prices:
            return 0.0
        # The shop gives categories from wide to narrow.
        known = next((name for name in reversed(categories) if name in self.prices), WHOLE_CATALOGUE)
        mean, spread = self.prices[known]
        if spread < 1e-6:
            return 0.0
        return float(np.clip((np.log1p(price) - mean) / spread, -MAX_PRICE_DEVIATION, MAX_PRICE_DEVIATION))

    def state(self) -> dict[str, Any]:
        """Tensors and JSON-able values: for `torch.save`, and `torch.load` with weights_only."""
        return {
            "text": self.text.state(),
            "category_dim": self.category_dim,
            "brand_dim": self.brand_dim,
            "prices": {category: list(level) for category, level in self.prices.items()},
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The same encoder again."""
        return cls(
            text=TextEncoder.from_state(state["text"]),
            category_dim=int(state["category_dim"]),
            brand_dim=int(state["brand_dim"]),
            prices={category: (float(mean), float(spread)) for category, (mean, spread) in state["prices"].items()},
        )


def hashed(names: Sequence[Sequence[str]], dim: int) -> Tensor:
    """Each row's names added up with hashed signs at hashed places, at length one: [len(names), dim]."""
    rows = torch.zeros(len(names), dim)
    for row, group in enumerate(names):
        for name in group:
            code = zlib.crc32(name.encode())
            rows[row, (code >> 1) % dim] += 1.0 if code & 1 else -1.0
    return torch.nn.functional.normalize(rows, dim=1)


def _texts(catalogue: Catalogue) -> list[str]:
    return [
        " ".join([title, *categories, brand])
        for title, categories, brand in zip(catalogue.titles, catalogue.categories, catalogue.brands, strict=True)
    ]
