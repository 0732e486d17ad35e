"""Returns and cancellations: which purchases stand, and with how much of their weight.

Arrives: one person's or everybody's events as columns. Leaves: the events that stand, each with the share that is
left of it. Next: `graphstore.snapshots.snapshot` and `graphstore.queries`.

A return or cancellation takes back the person's newest earlier purchase of that item which still stands, quantity by
quantity; without quantities it takes back the whole purchase. What finds no purchase takes nothing back. The take-backs
themselves are no interest in an item and never stand.
"""

import numpy as np

from graphstore.arrays import Float64Array, IntArray
from graphstore.tables import EVENT_TYPES, TAKE_BACKS

PURCHASE = EVENT_TYPES.index("purchase")
TAKE_BACK_CODES = tuple(EVENT_TYPES.index(name) for name in TAKE_BACKS)


def standing(users: IntArray, items: IntArray, types: IntArray, quantities: Float64Array) -> Float64Array:
    """The share of each event that stands, in [0, 1]; all arrays [num_events], events in order of time.

    `quantities` is NaN where the shop sent none: a purchase of one, a take-back of everything.
    """
    shares = np.ones(len(types))
    taking = np.isin(types, TAKE_BACK_CODES)
    shares[taking] = 0.0
    if not taking.any():
        return shares
    # Only the pairs that a take-back concerns are walked.
    pairs = np.stack([users, items], axis=1)
    concerned = np.flatnonzero((types == PURCHASE) | taking)
    _, pair = np.unique(pairs[concerned], axis=0, return_inverse=True)
    wanted = np.isin(pair, pair[taking[concerned]])
    order = concerned[wanted][np.argsort(pair[wanted], kind="stable")]
    bought = np.where(np.isnan(quantities), 1.0, quantities)
    left: dict[int, float] = {}
    stack: list[int] = []
    current: tuple[int, int] | None = None
    for row in order.tolist():
        if (users[row], items[row]) != current:
            current, stack = (users[row], items[row]), []
        if not taking[row]:
            stack.append(row)
            left[row] = bought[row]
            continue
        whole = np.isnan(quantities[row])
        to_take = np.inf if whole else quantities[row]
        while stack and to_take > 0:
            taken = min(to_take, left[stack[-1]])
            left[stack[-1]] -= taken
            to_take -= taken
            if left[stack[-1]] <= 0:
                stack.pop()
            if whole:
                break
    for row, remaining in left.items():
        shares[row] = remaining / bought[row]
    return shares
