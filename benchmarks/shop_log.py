"""Shop log: a synthetic event log of any size, for the training benchmark.

Arrives: a `LogSize` and a seed. Leaves: an `EventLog`, the same on every machine. Next: `benchmarks.training` and
`benchmarks.edges`.
"""

from dataclasses import dataclass

import numpy as np

from graphstore.tables import HOUR_MS
from training.data.event_log import EventLog

SPAN_MS = 365 * 24 * HOUR_MS
ITEMS_A_TASTE = 500
OWN_TASTE_SHARE = 0.8
PURCHASE, PURCHASE_WEIGHT = 3, 4.0


@dataclass(frozen=True)
class LogSize:
    """The size of a synthetic log."""

    edges: int
    users: int
    items: int


def synthetic_log(shop: LogSize, *, seed: int) -> EventLog:
    """Return purchases of distinct (user, item) pairs within a year. Equal seeds give equal logs.

    Popularity falls with one over the rank; activity falls more slowly. Four of five events have an item of the user's
    own taste, which has 500 items.

    Raises `ValueError` when the pairs are more than a tenth of all possible pairs, because no real shop is so dense.
    """
    if shop.edges > shop.users * shop.items / 10:
        raise ValueError(f"{shop.edges} edges are too many for {shop.users} users and {shop.items} items")
    rng = np.random.default_rng(seed)
    tastes = max(shop.items // ITEMS_A_TASTE, 1)
    activity = np.cumsum((np.arange(shop.users) + 0.05 * shop.users) ** -1.0)
    popularity = np.cumsum((np.arange(shop.items) + 10.0) ** -1.0)
    within = popularity[: max(shop.items // tastes, 1)]
    shuffled = rng.permutation(shop.items)  # a row does not show the popularity
    cells = np.empty(0, dtype=np.int64)
    while len(cells) < shop.edges:
        drawn = shop.edges - len(cells) + shop.edges // 10 + 16
        users = np.searchsorted(activity, rng.random(drawn) * activity[-1])
        items = np.searchsorted(popularity, rng.random(drawn) * popularity[-1])
        own = rng.random(drawn) < OWN_TASTE_SHARE
        ranks = np.searchsorted(within, rng.random(drawn) * within[-1])
        items[own] = (ranks * tastes + users % tastes)[own]
        cells = np.concatenate([cells, users * shop.items + shuffled[items]])
        cells = cells[np.sort(np.unique(cells, return_index=True)[1])]  # the first of each pair, in the drawn order
    cells = cells[: shop.edges]
    return EventLog(
        users=cells // shop.items,
        items=cells % shop.items,
        times=np.sort(rng.integers(0, SPAN_MS, shop.edges)),
        types=np.full(shop.edges, PURCHASE, dtype=np.int8),
        weights=np.full(shop.edges, PURCHASE_WEIGHT, dtype=np.float32),
        num_users=shop.users,
        num_items=shop.items,
    )
