"""Take-backs: which share of each purchase remains after returns and cancellations.

Arrives: the events of one person or of all, as columns. Leaves: the remaining share of each event. Next:
`graphstore.snapshots.graph` and `graphstore.queries`.

A return or a cancellation takes back the person's newest earlier purchase of the item that still remains, quantity by
quantity (weights, too). Without quantities it takes back the whole purchase. Without a purchase it changes nothing. The
take-back itself shows no interest in the item, so its share is 0.
"""

import numpy as np

from graphstore.arrays import Float64Array, IntArray
from graphstore.tables import EVENT_TYPES, TAKE_BACKS

PURCHASE = EVENT_TYPES.index("purchase")
TAKE_BACK_CODES = tuple(EVENT_TYPES.index(name) for name in TAKE_BACKS)

ROUNDING = 4e-7
"""Less than one piece in a million, the largest quantity, and more than the rounding of weights in 32 bits."""


def left_of(left: float, whole: float) -> float:
    """Return what is left of `whole`; 0 for what only rounding leaves, as in 0.3 - 0.1 - 0.2."""
    return left if left > ROUNDING * whole else 0.0


def standing(users: IntArray, items: IntArray, types: IntArray, quantities: Float64Array) -> Float64Array:
    """Return the remaining share of each event [num_events], in [0, 1].

    All arrays are [num_events] and the events are in order of time. A missing quantity is NaN: it means one for a
    purchase and the whole purchase for a take-back.
    """
    shares = np.ones(len(types))
    taking = np.isin(types, TAKE_BACK_CODES)
    shares[taking] = 0.0
    if not taking.any():
        return shares
    # The loop below visits only the (user, item) pairs with a take-back.
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
            left[stack[-1]] = left_of(left[stack[-1]] - taken, bought[stack[-1]])
            if left[stack[-1]] <= 0:
                stack.pop()
            if whole:
                break
            to_take = left_of(to_take - taken, quantities[row])
    for row, remaining in left.items():
        shares[row] = remaining / bought[row]
    return shares
