"""Next visits are true days, and each order ranks what was bought as its name says."""

import numpy as np

from benchmarks.buy_again import Visit, next_visits, orders
from graphstore.catalogue import Item
from serving.rules.context import DAY_MS, RuleContext
from training.data.event_log import EventLog

NOW = 100 * DAY_MS


def log(*rows: tuple[int, int, float]) -> EventLog:
    """Of (user, item, day)."""
    ordered = sorted(rows, key=lambda row: row[2])
    users, items, days = (np.array(column) for column in zip(*ordered, strict=True))
    return EventLog(
        users.astype(np.int64),
        items.astype(np.int64),
        (days * DAY_MS).astype(np.int64),
        np.full(len(rows), 3, dtype=np.int8),
        np.ones(len(rows), dtype=np.float32),
        num_users=3,
        num_items=5,
    )


def test_a_visit_is_the_first_day_of_a_known_shopper() -> None:
    past, later = log((0, 0, 1), (1, 1, 2)), log((0, 2, 10.4), (0, 3, 10.9), (0, 4, 11.1), (1, 0, 14), (2, 0, 10))
    begins, window = next_visits(past, later, 10 * DAY_MS)
    assert window.users.tolist() == [0, 1]
    assert begins.tolist() == [10 * DAY_MS, 14 * DAY_MS]
    assert np.split(window.targets, window.offsets[1:-1])[0].tolist() == [2, 3]


def test_the_orders_do_what_they_are_called() -> None:
    shelf = [Item(0, "0", categories=["Milk"]), Item(1, "1", categories=["Milk"]), Item(2, "2", categories=["Lamp"])]
    ago = {"0": 10, "1": 3, "2": 50}
    context = RuleContext(
        now=NOW, repurchase={"Milk": 4.0}, bought={item: NOW - days * DAY_MS for item, days in ago.items()}
    )
    found = list(orders(Visit(context, shelf, np.array([1, 3, 2], dtype=np.float32))).values())
    model_due, model_all, rule, newest, overdue = found
    assert model_due == [2, 0]
    assert model_all == [1, 2, 0]
    assert (rule, newest) == ([0, 2], [0, 2])
    assert overdue == [0, 2]
