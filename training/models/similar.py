"""Similar items: for each item the items nearest to it, by what the terms of a model know of items.

Arrives: terms and what can be bought. Leaves: rows and scores for each item. Next: `serving.publisher` writes a list
for each item, `serving.nearline` those of new items.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import BoolArray, Float32Array, IntArray
from training.data.windows import BLOCK_CELLS
from training.evaluation.ranking import top_k
from training.models.topk import best_items
from training.terms.protocol import Term


def item_embeddings(terms: Sequence[Term]) -> Tensor | None:
    """Return the unit vectors [num_items, dim] of the first term that has any (GraphSAGE), or None."""
    return next((term.item_embeddings for term in terms if term.item_embeddings is not None), None)


@torch.no_grad()
def similar_items(
    terms: Sequence[Term], available: BoolArray, *, k: int, start: int = 0
) -> tuple[IntArray, Float32Array]:
    """Return the k most similar available items for each item from row `start` on: rows [n, k] and scores.

    The similarity is the cosine of a term's embeddings. Terms without embeddings give their positive relations (the
    weights of the linear filter). Missing items have row −1 and score −inf.
    """
    num_items = len(available)
    embeddings = item_embeddings(terms)
    if embeddings is not None:
        return best_items(
            embeddings[start:],
            embeddings,
            k=k,
            bias=torch.where(torch.from_numpy(available), 0.0, -torch.inf),
            seen_offsets=np.arange(num_items - start + 1),
            seen_items=np.arange(start, num_items),
        )
    relating = next((term for term in terms if term.relates_items), None)
    step = max(1, BLOCK_CELLS // max(num_items, 1))
    missing = torch.from_numpy(~available)
    parts = []
    for first in range(start, num_items, step):
        last = min(first + step, num_items)
        if relating is not None:
            nearness = relating.relations(first, last)
            nearness = nearness.masked_fill(nearness <= 0, -torch.inf)
        else:
            nearness = torch.full((last - first, num_items), -torch.inf)
        nearness = nearness.masked_fill(missing, -torch.inf)
        nearness[torch.arange(last - first), torch.arange(first, last)] = -torch.inf
        parts.append(top_k(nearness, k))
    if not parts:
        return np.empty((0, k), dtype=np.int64), np.empty((0, k), dtype=np.float32)
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([scores for _, scores in parts])
