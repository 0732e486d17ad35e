"""Item features from the catalogue: what is known of an item that nobody bought yet.

Arrives: `graphstore.snapshots.snapshot.Catalogue`. Leaves: one row of numbers for each item. Next: a snapshot's
`item.x`, read by `training.sage.model`.

An encoder is fitted on the items of a training window alone. It is kept with the model and applied unchanged to items
that come later, so a column means the same for all of them. What shoppers did is not in it: see
`graphstore.snapshots.statistics`.
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
"""Item features belong to the data, not to a run: one seed for all."""

MIN_PRICED_ITEMS = 5
"""A category with fewer prices takes the mean and spread of the whole catalogue."""

MAX_PRICE_DEVIATION = 3.0

WHOLE_CATALOGUE = ""

NUMBER_COLUMNS = 5
"""The last columns of a row: relative price, and a flag for each of four things that may be missing."""


@dataclass(frozen=True)
class ItemEncoder:
    """Columns: text, categories, brand, relative price, and a flag for each thing that is missing."""

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
        """Learn words, directions, names and price levels; equal catalogues and seeds give equal encoders.

        Raises `training.features.sentence_encoder.TextModelError` where `text_encoder` names a model that is not there.
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
                self.categories.transform(catalogue.categories),
                self.brands.transform(_brands(catalogue)),
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
            "categories": self.categories.state(),
            "brands": self.brands.state(),
            "prices": {category: list(level) for category, level in self.prices.items()},
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The same encoder again; in a state of the time before one-hot columns, names are hashed."""
        if "categories" not in state:
            hashed = {"categories": state["category_dim"], "brands": state["brand_dim"]}
            state = {**state, **{name: {"dim": dim, "vocabulary": None} for name, dim in hashed.items()}}
        return cls(
            text=text_encoder_from_state(state["text"]),
            categories=NameEncoder.from_state(state["categories"]),
            brands=NameEncoder.from_state(state["brands"]),
            prices={category: (float(mean), float(spread)) for category, (mean, spread) in state["prices"].items()},
        )


def fitted_on(
    catalogue: Catalogue,
    rows: IntArray,
    *,
    text_encoder: str = TEXT_ENCODER,
    name_encoding: Encoding = NAME_ENCODING,
) -> ItemEncoder:
    """An encoder of the items at these `rows` alone [n], in any order and as often as they come: those that a training
    window has events of. What only a later window knows changes nothing."""
    known = catalogue.take(np.unique(rows).tolist())
    return ItemEncoder.fit(known, text_encoder=text_encoder, name_encoding=name_encoding, seed=FEATURE_SEED)


def one_hot_fits(encoder: ItemEncoder, catalogue: Catalogue, rows: IntArray) -> bool:
    """Whether the categories or the brands of the items at these `rows` [n] are few enough for columns of their own."""
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
    """Features of every item [num_items, width] by an encoder that was fitted on the items of `past` alone."""
    encoder = fitted_on(catalogue, past.items, text_encoder=text_encoder, name_encoding=name_encoding)
    return encoder.transform(catalogue).numpy()
