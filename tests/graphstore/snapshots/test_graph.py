"""The graph of some events: what is rated, and what the training window knows."""

import numpy as np

from graphstore.snapshots.eventlog import EVENT
from graphstore.snapshots.graph import INTERACTS, make_graph, trained_items

NONE = float("nan")
NO_SESSIONS = np.empty((0, 2), dtype=np.int64)


def test_what_is_a_rating_is_said() -> None:
    """A rating without a value counts what its type weighs, and cannot be told from a 4 by that."""
    rows = [(1, 7, 3, 100, 4.0, NONE, 4), (2, 7, 3, 200, NONE, NONE, 4), (3, 7, 3, 300, 9.5, NONE, 3)]
    stores, nodes = make_graph(np.array(rows, dtype=EVENT), NO_SESSIONS, np.array([3]))
    assert nodes.tolist() == [7]
    assert stores[INTERACTS]["y"].tolist() == [4.0, 4.0, 4.0]
    assert stores[INTERACTS]["rated"].tolist() == [True, False, False]


def test_trained_items_are_those_of_the_first_events() -> None:
    rows = [(key, 1, item, key, NONE, NONE, 3) for key, item in enumerate([9, 5, 5, 9, 5, 9, 5, 9, 2, 7], start=1)]
    stores, _ = make_graph(np.array(rows, dtype=EVENT), NO_SESSIONS, np.array([2, 5, 7, 9]))
    assert stores[INTERACTS]["train_mask"].sum() == 8
    assert trained_items(stores).tolist() == [1, 3]  # rows of 5 and 9; 2 and 7 came later
    empty, _ = make_graph(np.empty(0, dtype=EVENT), NO_SESSIONS, np.array([2]))
    assert trained_items(empty).tolist() == []
