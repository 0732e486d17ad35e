"""Baskets: targets with the same time, and a past that is strictly earlier."""

import numpy as np
import pytest

from tests.training.checkerboard import make_log
from training.sage.baskets import Baskets

# User 0 buys {1, 2} at 10, {1, 3, 3} at 20, {3} at 30; user 1 buys {0} at 15 only; user 2 buys {2} at 5 and {2} at 40.
ROWS = [(0, 1, 10), (0, 2, 10), (1, 0, 15), (0, 1, 20), (0, 3, 20), (0, 3, 20), (0, 3, 30), (2, 2, 5), (2, 2, 40)]
LOG = make_log(ROWS, num_users=3, num_items=4)


def targets(baskets: Baskets, place: int) -> list[int]:
    return sorted(baskets.targets_of(np.array([place]))[1].tolist())


def test_distinct_items_of_one_moment_are_one_basket():
    baskets = Baskets.from_log(LOG, repeats=True)
    assert list(zip(baskets.users.tolist(), baskets.times.tolist(), strict=True)) == [(0, 20), (0, 30), (2, 40)]
    assert [targets(baskets, place) for place in range(3)] == [[1, 3], [3], [2]]


def test_without_repeats_only_first_events_of_a_pair_are_targets():
    baskets = Baskets.from_log(LOG, repeats=False)
    assert baskets.times.tolist() == [20]
    assert targets(baskets, 0) == [3]


def test_the_past_is_strictly_earlier():
    baskets = Baskets.from_log(LOG, repeats=True)
    profiles = baskets.profiles(np.arange(3), last=10)
    parts = np.split(profiles.items, profiles.offsets[1:-1])
    assert [sorted(part.tolist()) for part in parts] == [[1, 2], [1, 2, 3], [2]]


def test_rows_are_places_among_the_chosen():
    rows, items = Baskets.from_log(LOG, repeats=True).targets_of(np.array([2, 0]))
    assert rows.tolist() == [0, 1, 1]
    assert items[0] == 2
    assert sorted(items[1:].tolist()) == [1, 3]


def test_recency_halves_with_every_half_life():
    baskets = Baskets.from_log(LOG, repeats=True)  # at 20, 30 and 40
    assert baskets.recency(0.5).tolist() == pytest.approx([0.25, 0.5, 1.0])
    assert baskets.recency(1.0).tolist() == pytest.approx([0.5, 2**-0.5, 1.0])
    assert Baskets.from_log(LOG, repeats=False).recency(0.1).tolist() == [1.0]  # one basket, no span


def test_baskets_that_hold_marked_events():
    baskets = Baskets.from_log(LOG, repeats=True)
    assert baskets.with_targets_among(LOG.times >= 30).tolist() == [False, True, True]
    assert baskets.with_targets_among(LOG.times >= 40).tolist() == [False, False, True]
    assert not baskets.with_targets_among(np.zeros(len(LOG), dtype=np.bool_)).any()


def test_an_empty_log_has_none():
    assert len(Baskets.from_log(make_log([], num_users=0, num_items=0), repeats=True)) == 0


def test_ties_at_random_make_every_event_a_basket_with_those_before_it_as_past():
    baskets = Baskets.from_log(LOG, repeats=True, ties="random", seed=1)
    assert len(baskets) == len(LOG) - 3  # the first of each user has no past
    assert [len(baskets.targets_of(np.array([place]))[1]) for place in range(len(baskets))] == [1] * len(baskets)
    assert (baskets.ends - baskets.starts).tolist() == [1, 2, 3, 4, 5, 1]
    orders = {tuple(Baskets.from_log(LOG, repeats=True, ties="random", seed=seed).items) for seed in range(20)}
    assert len(orders) > 1
    assert all(sorted(items[:2]) == [1, 2] and sorted(items[2:5]) == [1, 3, 3] and items[5] == 3 for items in orders)
