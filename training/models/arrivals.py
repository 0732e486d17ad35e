"""Arrivals: new items as the rows, features and graph that the terms of a model need.

Arrives: `training.models.new_items.NewItems`. Leaves: `training.terms.protocol.Arrivals`. Next:
`training.models.recommender.Recommender.extend` hands them to each term.

What such an item has: the features of the model's encoder, hence content and an inductive GraphSAGE vector, and the
counts of the trend. The linear filters and the factorisation know it after the next training. A model without an
encoder (closed form) can only rank it by its trend.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import BoolArray, IntArray, distinct, find_sorted
from graphstore.catalogue import Catalogue, Item
from training.features.items import ItemEncoder
from training.models.new_items import NewItems
from training.terms.protocol import Arrivals

MAX_ENCODED = 20_000
"""The number of items whose features are remembered: some 10 MB. Beyond it, all are forgotten."""


class EncodedItems:
    """Remembers the features of items, because the same items are encoded again with each change of one of them."""

    def __init__(self, encoder: ItemEncoder) -> None:
        self._encoder = encoder
        self._rows: dict[int, tuple[Item, Tensor]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def features(self, items: Sequence[Item]) -> Tensor:
        """Return the features [len(items), width] of what the catalogue says now."""
        missing = [item for item in items if self._rows.get(item.item_key, (None,))[0] != item]
        if missing:
            if len(self._rows) + len(missing) > MAX_ENCODED:
                self._rows, missing = {}, list(items)
            rows = self._encoder.transform(catalogue_of(missing))
            self._rows |= {item.item_key: (item, row) for item, row in zip(missing, rows, strict=True)}
        found = [self._rows[item.item_key][1] for item in items]
        return torch.stack(found) if found else torch.zeros(0, self._encoder.width)


@dataclass(frozen=True)
class LateItems:
    """Items that came after the training, by row. The last `num_added` have no row yet."""

    items: list[Item]
    rows: IntArray
    num_added: int


def late_items(items: Sequence[Item], item_keys: IntArray, *, num_trained: int) -> LateItems:
    """Return those of the items that are not in the first `num_trained` rows of the model, each once."""
    trained = set(item_keys[:num_trained].tolist())
    late = {item.item_key: item for item in items if item.item_key not in trained}
    row_of = {key: row for row, key in enumerate(item_keys[num_trained:].tolist(), start=num_trained)}
    added = [key for key in late if key not in row_of]
    row_of |= {key: row for row, key in enumerate(added, start=len(item_keys))}
    keys = sorted(late, key=lambda key: row_of[key])
    return LateItems([late[key] for key in keys], np.array([row_of[key] for key in keys], dtype=np.int64), len(added))


def catalogue_of(items: Sequence[Item]) -> Catalogue:
    """Return the items as columns."""
    return Catalogue(
        titles=[item.title for item in items],
        categories=[item.categories for item in items],
        brands=[item.brand for item in items],
        prices=np.array([np.nan if item.price is None else item.price for item in items], dtype=np.float32),
        available=np.array([item.available for item in items], dtype=np.bool_),
    )


def arrivals_of(
    new: NewItems, item_keys: IntArray, rows: IntArray, *, rare: BoolArray, encoded: EncodedItems | None
) -> Arrivals:
    """Return the arrivals for a model whose items, with the new ones, are `item_keys` in this order.

    `rows` are those of `new.items`, ascending. Items of the histories that are neither new nor neighbours are left out.
    """
    order = np.argsort(item_keys, kind="stable")

    def rows_of(keys: IntArray) -> IntArray:
        indices, found = find_sorted(keys, item_keys[order])
        return order[indices[found]]

    neighbours = {item.item_key: item for item in new.neighbours}
    around = distinct(rows_of(np.array(sorted(neighbours), dtype=np.int64)))
    around = around[~np.isin(around, rows)]
    nodes = np.concatenate([rows, around])
    index_of = {int(item_keys[row]): index for index, row in enumerate(nodes)}
    pairs = sorted(
        {(user, index_of[key]) for user, history in enumerate(new.histories) for key, *_ in history if key in index_of}
    )
    columns = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Arrivals(
        rows=rows,
        num_items=len(item_keys),
        features=None if encoded is None else encoded.features(new.items),
        rare=rare,
        neighbours=around,
        neighbour_features=(
            None if encoded is None else encoded.features([neighbours[int(item_keys[row])] for row in around])
        ),
        users=columns[:, 0].copy(),
        items=columns[:, 1].copy(),
    )
