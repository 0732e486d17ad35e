"""Ranked: cuts one ranking of the shop into the lists of the shop and of its categories.

Arrives: scores of items, and the assortment. Leaves: packed lists by category, ready for one hash. Next:
`serving.shop_lists.refresh` writes them.
"""

import numpy as np

from graphstore.arrays import Float64Array, IntArray
from serving.shop_lists.assortment import Assortment
from serving.shop_lists.lists import ALL, ShopEntry, encode

SHOP_ITEMS = 1000
"""Items in a list of the whole shop."""

CATEGORY_ITEMS = 200
"""Items in a list of a category."""


def ranked_lists(
    item_keys: IntArray, scores: Float64Array, numbers: IntArray, assortment: Assortment
) -> dict[str, bytes]:
    """Return the list of the shop (`ALL`) and those of its categories, best first, ties by the smaller key.

    `item_keys`, `scores` and `numbers` are columns [n] of the items to rank, each item once. Items that cannot be
    bought are left out, and so are empty lists.
    """
    order = np.lexsort((item_keys, -scores))
    rows = np.searchsorted(assortment.item_keys, item_keys[order])
    rows[rows == len(assortment.item_keys)] = 0
    there = np.flatnonzero(assortment.item_keys[rows] == item_keys[order]) if len(assortment.item_keys) else rows[:0]
    order, rows = order[there], rows[there]
    if not len(order):
        return {}
    entries = [
        ShopEntry(int(item_keys[place]), float(np.float32(scores[place])), int(numbers[place])) for place in order
    ]
    found = {ALL: encode(entries[:SHOP_ITEMS])}
    rank = np.full(len(assortment.item_keys), -1)
    rank[rows] = np.arange(len(rows))
    ranked = np.flatnonzero(rank[assortment.rows] >= 0)
    places, categories = rank[assortment.rows[ranked]], assortment.categories[ranked]
    by_category = np.lexsort((places, categories))
    if not len(by_category):
        return found
    names, starts = np.unique(categories[by_category], return_index=True)
    for name, members in zip(names.tolist(), np.split(places[by_category], starts[1:]), strict=True):
        found[assortment.names[name]] = encode([entries[place] for place in members[:CATEGORY_ITEMS].tolist()])
    return found
