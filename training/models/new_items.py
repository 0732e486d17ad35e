"""New items: what is known of items that came after the training, so that a model can list them at once.

Arrives: the catalogue and the newest events, from `serving.source`. Leaves: `NewItems`, and the `Arrivals` of a model.
Next: `training.models.recommender.Recommender.extend` gives each item a row in each term.

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
from training.terms.protocol import Arrivals


@dataclass(frozen=True)
class NewItems:
    """Items without a row, and their neighbourhood in the graph. The neighbourhood may be empty."""

    items: Sequence[Item]
    histories: Sequence[Sequence[tuple[int, int, int]]] = ()
    """(item_key, time in epoch ms, event type) of each shopper who touched one of the items, oldest first."""
    neighbours: Sequence[Item] = ()
    """The other items in these histories. Their features are the inputs of the graph layers."""

    def __len__(self) -> int:
        return len(self.items)


class EncodedItems:
    """Remembers the features of items, because the same items are encoded again with each change of one of them."""

    def __init__(self, encoder: ItemEncoder) -> None:
        self._encoder = encoder
        self._rows: dict[int, tuple[Item, Tensor]] = {}

    def features(self, items: Sequence[Item]) -> Tensor:
        """Return the features [len(items), width] of what the catalogue says now."""
        missing = [item for item in items if self._rows.get(item.item_key, (None,))[0] != item]
        if missing:
            rows = self._encoder.transform(catalogue_of(missing))
            self._rows |= {item.item_key: (item, row) for item, row in zip(missing, rows, strict=True)}
        found = [self._rows[item.item_key][1] for item in items]
        return torch.stack(found) if found else torch.zeros(0, self._encoder.width)


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
