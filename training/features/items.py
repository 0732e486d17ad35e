"""Item features from the catalogue: text, categories, brand and price. They also describe items without events.

Arrives: `graphstore.catalogue.Catalogue`. Leaves: one feature row for each item. Next: `item.x` of a snapshot, which
`training.sage.model` reads.

The encoder is fitted only on the items of the training window. It is saved with the model and never changes, so a
column has the same meaning for later items. Features contain no events: `graphstore.snapshots.statistics` has those.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import Float32Array, IntArray
from graphstore.catalogue import Catalogue
from training.config import NAME_ENCODING, TEXT_ENCODER, Encoding
from training.data.event_log import EventLog
from training.features.category_encoder import NameEncoder
from training.features.text_encoder import TextEncoder, fit_text_encoder, text_encoder_from_state

FEATURE_SEED = 0
"""Item features belong to the data and not to a run, so all runs use one seed."""

MIN_PRICED_ITEMS = 5
"""A category with fewer prices uses the mean and deviation of the whole catalogue."""

MAX_PRICE_DEVIATION = 3.0

WHOLE_CATALOGUE = ""

NUMBER_COLUMNS = 5
"""The number of last columns in a row: the relative price, and four flags for missing attributes."""


@dataclass(frozen=True)
class ItemEncoder:
    """Encodes items. Columns: text, categories, brand, relative price, and a flag for each missing attribute."""

    text: TextEncoder
    categories: NameEncoder
    brands: NameEncoder
    prices: dict[str, tuple[float, float]]
    """Mean and standard deviation of the log price in each category; "" for the whole catalogue."""

    @classmethod
    def fit(
        cls,
        catalogue: Catalogue,
        *,
        text_encoder: str = TEXT_ENCODER,
        name_encoding: Encoding = NAME_ENCODING,
        text_dim: int | None = None,
        category_dim: int = 64,
        brand_dim: int = 32,
        seed: int,
    ) -> Self:
        """Fit the text encoder, the name encoders and the price levels.

        Equal catalogues and seeds give equal encoders. Raises `training.features.sentence_encoder.TextModelError` when
        the model in `text_encoder` is missing.
        """
        by_category: dict[str, list[float]] = defaultdict(list)
        for categories, price in zip(catalogue.categories, catalogue.prices, strict=True):
            if price >= 0:  # false for NaN
                for category in {WHOLE_CATALOGUE, *categories}:
                    by_category[category].append(float(np.log1p(price)))
        return cls(
            text=fit_text_encoder(text_encoder, _texts(catalogue), dim=text_dim, seed=seed),
            categories=NameEncoder.fit(catalogue.categories, dim=category_dim, encoding=name_encoding),
            brands=NameEncoder.fit(_brands(catalogue), dim=brand_dim, encoding=name_encoding),
            prices={
                category: (float(np.mean(logs)), float(np.std(logs)))
                for category, logs in sorted(by_category.items())
                if len(logs) >= MIN_PRICED_ITEMS or category == WHOLE_CATALOGUE
            },
        )

    @property
    def width(self) -> int:
        return self.text.dim + self.categories.dim + self.brands.dim + NUMBER_COLUMNS

    def transform(self, catalogue: Catalogue) -> Tensor:
        """Return features [num_items, width] float32. A row depends only on its own item."""
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
                self.categories.transform(catalogue.categories),
                self.brands.transform(_brands(catalogue)),
                price,
                missing.float(),
            ],
            dim=1,
        )

    def _price(self, categories: list[str], price: float) -> float:
        """Return the standardised log price within the narrowest known category of the item; 0 without a price."""
        if not price >= 0 or not self.prices:
            return 0.0
        # Categories are ordered from wide to narrow.
        known = next((name for name in reversed(categories) if name in self.prices), WHOLE_CATALOGUE)
        mean, spread = self.prices[known]
        if spread < 1e-6:
            return 0.0
        return float(np.clip((np.log1p(price) - mean) / spread, -MAX_PRICE_DEVIATION, MAX_PRICE_DEVIATION))

    def state(self) -> dict[str, Any]:
        """Return tensors and plain values for `torch.save` and `torch.load(weights_only=True)`."""
        return {
            "text": self.text.state(),
            "categories": self.categories.state(),
            "brands": self.brands.state(),
            "prices": {category: list(level) for category, level in self.prices.items()},
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Restore an encoder from its state. In an old state, from before one-hot columns, names are hashed."""
        if "categories" not in state:
            hashed = {"categories": state["category_dim"], "brands": state["brand_dim"]}
            state = {**state, **{name: {"dim": dim, "vocabulary": None} for name, dim in hashed.items()}}
        return cls(
            text=text_encoder_from_state(state["text"]),
            categories=NameEncoder.from_state(state["categories"]),
            brands=NameEncoder.from_state(state["brands"]),
            prices={category: (float(mean), float(spread)) for category, (mean, spread) in state["prices"].items()},
        )


def fit_item_encoder(
    catalogue: Catalogue,
    rows: IntArray,
    *,
    text_encoder: str = TEXT_ENCODER,
    name_encoding: Encoding = NAME_ENCODING,
) -> ItemEncoder:
    """Fit an encoder only on the items of the training window.

    `rows` [n] are item rows in any order and may repeat. Items of later windows have no influence.
    """
    known = catalogue.take(np.unique(rows).tolist())
    return ItemEncoder.fit(known, text_encoder=text_encoder, name_encoding=name_encoding, seed=FEATURE_SEED)


def one_hot_fits(encoder: ItemEncoder, catalogue: Catalogue, rows: IntArray) -> bool:
    """Return whether the categories or the brands of the items `rows` [n] are few enough for one-hot columns."""
    known = catalogue.take(np.unique(rows).tolist())
    groups = ((known.categories, encoder.categories.dim), (_brands(known), encoder.brands.dim))
    return any(NameEncoder.fit(names, dim=dim, encoding="one-hot").vocabulary is not None for names, dim in groups)


def _brands(catalogue: Catalogue) -> list[list[str]]:
    return [[brand] if brand else [] for brand in catalogue.brands]


def _texts(catalogue: Catalogue) -> list[str]:
    return [
        " ".join([title, *categories, brand])
        for title, categories, brand in zip(catalogue.titles, catalogue.categories, catalogue.brands, strict=True)
    ]


def item_features(
    catalogue: Catalogue,
    past: EventLog,
    *,
    text_encoder: str = TEXT_ENCODER,
    name_encoding: Encoding = NAME_ENCODING,
) -> Float32Array:
    """Return features of all items [num_items, width]. The encoder is fitted only on the items of `past`."""
    encoder = fit_item_encoder(catalogue, past.items, text_encoder=text_encoder, name_encoding=name_encoding)
    return encoder.transform(catalogue).numpy()
