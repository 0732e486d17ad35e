"""Together: which items shoppers buy in one basket with an item.

Arrives: `Purchases`. Leaves: a packed list for each item. Next: `serving.shop_lists.refresh` writes them.

Of N baskets n_a hold item a, n_b item b, and n_ab both. By chance E = n_a n_b / N would hold both. The score is the
shrunken lift log((n_ab + k) / (E + k)), see `serving.shop_lists.rising`: what everybody buys goes with everything and
so scores about 0, and a pair of two baskets cannot be first. Of a shopper the newest `SHOPPER_BASKETS` count, so that
no household speaks for the shop. Beside the score stands the number of shoppers who bought both in one basket, for the
explanation ("14 shoppers who bought A bought B").

Rejected: n_ab alone (bananas with everything); the plain lift (two rare items that one shopper bought); and shoppers in
place of baskets, because who comes every week has bought every popular pair in the end, though never in one basket.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from graphstore.arrays import Float64Array, IntArray
from serving.shop_lists.lists import ShopEntry
from serving.shop_lists.purchases import Purchases

PRIOR = 2.0
FEWEST_SHOPPERS = 2
"""A pair of fewer shoppers is left out: it would tell what one person bought."""

TOGETHER_ITEMS = 30
"""Items in a list."""

SHOPPER_BASKETS = 20
"""Baskets of a shopper that count, the newest."""

BASKET_ITEMS = 30
"""Items of a basket that count, others of it by chance: pairs grow with the square."""

BLOCK_LINES = 100_000
"""Order lines whose pairs are counted at a time, at most 1.5 million."""

MAX_PAIRS = 4_000_000
"""Pairs that are kept while they are counted. When there are more, those of one shopper are dropped."""


def together(purchases: Purchases) -> dict[int, list[ShopEntry]]:
    """Return by item key what is bought together with it, best first."""
    lines = _newest_baskets(purchases)
    if not len(lines):
        return {}
    shoppers, baskets = purchases.shoppers[lines], purchases.baskets[lines]
    item_keys, rows = np.unique(purchases.items[lines], return_inverse=True)
    rows, width = rows.ravel(), len(item_keys)
    baskets = np.unique(baskets, return_inverse=True)[1].ravel()
    held = np.bincount(np.unique(baskets * width + rows) % width, minlength=width)  # baskets with each item
    counted = counted_pairs(shoppers, baskets, rows, width)
    counted = counted[:, counted[2] >= FEWEST_SHOPPERS]
    one, other = np.divmod(counted[0], width)
    expected = held[one] * held[other] / (baskets.max() + 1)
    scores = np.log((counted[1] + PRIOR) / (expected + PRIOR))
    return _best(
        item_keys,
        np.concatenate([one, other]),
        np.concatenate([other, one]),
        np.tile(scores, 2),
        np.tile(counted[2], 2),
    )


def _newest_baskets(purchases: Purchases) -> IntArray:
    """Return the lines of each shopper's newest `SHOPPER_BASKETS` baskets, in their order."""
    names, numbered = np.unique(purchases.baskets, return_inverse=True)
    ends, owners = np.zeros(len(names), dtype=np.int64), np.zeros(len(names), dtype=np.int64)
    np.maximum.at(ends, numbered.ravel(), purchases.times)
    owners[numbered.ravel()] = purchases.shoppers
    order = np.lexsort((-ends, owners))
    place = np.empty(len(names), dtype=np.int64)
    place[order] = np.arange(len(names)) - np.searchsorted(owners[order], owners[order])
    return np.flatnonzero(place[numbered.ravel()] < SHOPPER_BASKETS)


def _best(
    item_keys: IntArray, items: IntArray, others: IntArray, scores: Float64Array, numbers: IntArray
) -> dict[int, list[ShopEntry]]:
    """Return the best others of each item, from columns of directed pairs."""
    some = np.flatnonzero(scores > 0)
    order = some[np.lexsort((others[some], -numbers[some], -scores[some], items[some]))]
    if not len(order):
        return {}
    names, starts = np.unique(items[order], return_index=True)
    return {
        int(item_keys[name]): [
            ShopEntry(int(item_keys[others[place]]), float(np.float32(scores[place])), int(numbers[place]))
            for place in members[:TOGETHER_ITEMS]
        ]
        for name, members in zip(names, np.split(order, starts[1:]), strict=True)
    }


def counted_pairs(shoppers: IntArray, baskets: IntArray, rows: IntArray, width: int) -> IntArray:
    """Return columns [3, n]: each pair as one·width + other (one < other), its baskets, and its shoppers."""
    counted = np.zeros((3, 0), dtype=np.int64)
    for start, end in _blocks(shoppers):
        found = basket_pairs(shoppers[start:end], baskets[start:end], rows[start:end], width)
        both = np.concatenate([counted, found], axis=1)
        pairs, places = np.unique(both[0], return_inverse=True)
        sums = [np.bincount(places.ravel(), weights=column).astype(np.int64) for column in both[1:]]
        counted = np.stack([pairs, *sums])
        if counted.shape[1] > MAX_PAIRS:
            counted = counted[:, counted[2] > 1]
    return counted


def _blocks(shoppers: IntArray) -> Iterator[tuple[int, int]]:
    """Yield ranges of about `BLOCK_LINES` lines with all lines of their shoppers, who are sorted."""
    ends = [np.searchsorted(shoppers, shoppers[at]) for at in range(BLOCK_LINES, len(shoppers), BLOCK_LINES)]
    borders = sorted({0, *map(int, ends), len(shoppers)})
    return pairwise(borders)


def basket_pairs(shoppers: IntArray, baskets: IntArray, rows: IntArray, width: int) -> IntArray:
    """Return columns [3, n]: a pair, the baskets of one shopper with it, and 1, for each shopper."""
    names, firsts, numbered = np.unique(baskets, return_index=True, return_inverse=True)
    owner = np.unique(shoppers, return_inverse=True)[1].ravel()[firsts]  # by basket; a basket has one shopper
    basket, item = np.divmod(np.unique(numbered.ravel() * width + rows), width)
    chance = (item * 2_654_435_761 + names[basket] * 40_503) % 65_521  # other items in other large baskets
    order = np.lexsort((chance, basket))
    place = np.arange(len(basket)) - np.searchsorted(basket, basket)
    kept = np.sort(order[place < BASKET_ITEMS])
    basket, item = basket[kept], item[kept]
    found = [np.zeros(0, dtype=np.int64)]
    for distance in range(1, BASKET_ITEMS):
        same = np.flatnonzero(basket[distance:] == basket[:-distance])
        if not len(same):
            break
        # One integer holds a shopper and a pair: it sorts faster than columns.
        found.append((owner[basket[same]] * width + item[same]) * width + item[same + distance])
    pairs, counts = np.unique(np.concatenate(found), return_counts=True)
    return np.stack([pairs % width**2, counts, np.ones(len(pairs), dtype=np.int64)])
