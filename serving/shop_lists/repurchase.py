"""Repurchase: after how many days shoppers buy an item of a category again, where they do.

Arrives: `Purchases`, and the categories of all items. Leaves: days by category. Next: the rule of repurchase leaves out
what was bought more recently, and the slot `buy_again` shows what is due.

The gaps between two purchases of one item by one shopper on different days teach it. A category is bought again when at
least `FEWEST_GAPS` gaps of `FEWEST_SHOPPERS` shoppers are known, and at least `AGAIN_SHARE` of its pairs of shopper and
item were bought twice: bread is, a fridge is not, whatever two people did. The days are the lowest tenth of the gaps:
who waits longer than a tenth of those who came back may be reminded. Gaps that have not ended yet are not known, so
the days are rather too short than too long; a shop may say its own (`RuleSet.repurchase_days`).

Rejected: the lowest quarter. It hides so much of what the next visit buys that `buy_again` ranks 7 % worse.
"""

import numpy as np

from graphstore.arrays import IntArray
from serving.shop_lists.assortment import Assortment
from serving.shop_lists.purchases import Purchases

DAY_MS = 86_400_000
FEWEST_GAPS = 10
FEWEST_SHOPPERS = 5
AGAIN_SHARE = 0.1
QUANTILE = 0.1


def repurchase_days(purchases: Purchases, everything: Assortment) -> dict[str, float]:
    """Return the days by category. `everything` has all items, also those that cannot be bought now."""
    if not len(purchases.items) or not everything.names:
        return {}
    shoppers, items, days = _once_a_day(purchases)
    same = (shoppers[1:] == shoppers[:-1]) & (items[1:] == items[:-1])
    at = np.flatnonzero(same)
    gaps = (days[1:] - days[:-1])[at]
    begins = np.append(True, ~same)  # the first purchase of each pair of shopper and item
    again = begins & np.append(same, False)
    found: dict[str, float] = {}
    members = np.split(
        everything.rows[np.argsort(everything.categories, kind="stable")],
        np.cumsum(np.bincount(everything.categories, minlength=len(everything.names)))[:-1],
    )
    gap_order, pair_order = _by_item(items[at]), _by_item(items[begins])
    repeated = again[begins]
    for name, rows in zip(everything.names, members, strict=True):
        keys = everything.item_keys[rows]
        mine = _places(items[at], gap_order, keys)
        pairs = _places(items[begins], pair_order, keys)
        known = gaps[mine]
        if len(known) < FEWEST_GAPS or len(np.unique(shoppers[at][mine])) < FEWEST_SHOPPERS:
            continue
        if repeated[pairs].mean() >= AGAIN_SHARE:
            found[name] = float(np.quantile(known, QUANTILE))
    return found


def _once_a_day(purchases: Purchases) -> tuple[IntArray, IntArray, IntArray]:
    """Return shopper, item and day of the purchases, in this order, each once."""
    days = purchases.times // DAY_MS
    order = np.lexsort((days, purchases.items, purchases.shoppers))
    columns = np.stack([purchases.shoppers, purchases.items, days])[:, order]
    new = np.append(True, (np.diff(columns) != 0).any(axis=0))
    shoppers, items, days = columns[:, new]
    return shoppers, items, days


def _by_item(items: IntArray) -> IntArray:
    return np.argsort(items, kind="stable")


def _places(items: IntArray, order: IntArray, keys: IntArray) -> IntArray:
    """Return the places of these keys in `items`, whose ascending order is `order`."""
    ascending = items[order]
    starts, ends = np.searchsorted(ascending, keys), np.searchsorted(ascending, keys, side="right")
    return np.concatenate([order[:0], *(order[start:end] for start, end in zip(starts, ends, strict=True))])
