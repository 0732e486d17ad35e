"""Purchases: the newest order lines of the shop as columns, and which of them belong to one basket.

Arrives: rows of `interactions`. Leaves: `Purchases`. Next: `together` and `repurchase`
beside it.

The number of lines is bounded, so the memory is, too: a million lines take 32 MB. Take-backs are not subtracted: who
sent a kettle back has bought it together with the tea all the same.
"""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, func, select

from graphstore.arrays import IntArray
from graphstore.tables import interactions, users
from graphstore.takebacks import PURCHASE

MAX_LINES = 1_000_000
READ_AT_ONCE = 50_000
BASKET_GAP_MS = 3_600_000
"""Purchases without an order are one basket, as long as each comes within an hour after the one before it."""


@dataclass(frozen=True)
class Purchases:
    """Order lines [n], sorted by shopper and time."""

    shoppers: IntArray  # [n], the key of the person
    items: IntArray  # [n], the item key
    times: IntArray  # [n], epoch ms
    baskets: IntArray  # [n], a number for each basket


def read_purchases(connection: Connection, *, limit: int = MAX_LINES) -> Purchases:
    """Read the newest `limit` order lines."""
    person = func.coalesce(users.c.person_key, users.c.user_key)
    query = (
        select(person, interactions.c.item_key, interactions.c.event_time, interactions.c.order_id)
        .join_from(interactions, users, users.c.user_key == interactions.c.user_key)
        .where(interactions.c.event_type == PURCHASE)
        .order_by(interactions.c.event_time.desc())
        .limit(limit)
    )
    orders: dict[str, int] = {}
    blocks = [np.zeros((0, 4), dtype=np.int64)]
    for rows in connection.execute(query, execution_options={"yield_per": READ_AT_ONCE}).partitions():
        numbered = [
            (shopper, item, time, -1 if order is None else orders.setdefault(order, len(orders)))
            for shopper, item, time, order in rows
        ]
        blocks.append(np.array(numbered, dtype=np.int64))
    return of_lines(np.concatenate(blocks))


def of_lines(lines: IntArray) -> Purchases:
    """Return the purchases in rows [n, 4] of shopper, item, time (epoch ms) and order (−1: without one)."""
    shoppers, items, times, orders = lines[np.lexsort((lines[:, 3], lines[:, 2], lines[:, 0]))].T
    return Purchases(shoppers, items, times, _baskets(shoppers, times, orders))


def _baskets(shoppers: IntArray, times: IntArray, orders: IntArray) -> IntArray:
    """Number the baskets [n]: one for each order of a shopper, and one for each chain of lines without an order."""
    baskets = np.full(len(shoppers), -1)
    ordered = np.flatnonzero(orders >= 0)
    if len(ordered):
        pairs = np.stack([shoppers[ordered], orders[ordered]], axis=1)
        baskets[ordered] = np.unique(pairs, axis=0, return_inverse=True)[1].ravel()
    loose = np.flatnonzero(orders < 0)
    if len(loose):
        begins = np.ones(len(loose), dtype=np.int64)
        same = shoppers[loose][1:] == shoppers[loose][:-1]
        begins[1:] = ~(same & (np.diff(times[loose]) <= BASKET_GAP_MS))
        baskets[loose] = np.cumsum(begins) + baskets.max(initial=-1)
    return baskets
