"""New items: what is known of items that came after the training, so that a model can list them at once.

Arrives: the catalogue and the newest events, from `serving.source`. Leaves: `NewItems`. Next:
`training.models.recommender.Recommender.extend`.

This module is light, because the publisher hands new items to a model in another process.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from graphstore.catalogue import Item


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
