"""Draws of ties: counted where they stand at a cut, and one split for all seeds where there are none."""

import numpy as np
import pytest
from hypothesis import given as property_of
from hypothesis import settings
from hypothesis import strategies as st

from tests.training.checkerboard import checkerboard, make_log
from training.data.dataset import TooFewEvents
from training.data.event_log import EventLog
from training.data.split_draws import SplitDraws, Ties, count_ties
from training.data.splits import EvaluationSplit, leave_last_out, temporal

USERS, ITEMS = 4, 4

events = st.lists(
    st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1), st.integers(0, 5)),
    min_size=1,
    max_size=24,
    unique=True,
)


def log_of(rows: list[tuple[int, int, int]]) -> EventLog:
    return make_log(rows, num_users=USERS, num_items=ITEMS)


@settings(max_examples=80, deadline=None)
@property_of(events, st.booleans())
def test_a_tie_is_counted_exactly_where_some_seed_holds_out_another_item(
    rows: list[tuple[int, int, int]], repeats: bool
) -> None:
    log = log_of(rows)
    try:
        splits = [leave_last_out(log, repeats=repeats, seed=seed) for seed in range(60)]
    except TooFewEvents:
        with pytest.raises(TooFewEvents):
            SplitDraws.leave_last_out(log, repeats=repeats)
        return
    for split in splits:
        assert split.test.users.tolist() == split.validation.users.tolist() == splits[0].test.users.tolist()
    tests, validations = (
        sum(len(set(items)) > 1 for items in zip(*(window.targets.tolist() for window in windows), strict=True))
        for windows in ([split.test for split in splits], [split.validation for split in splits])
    )
    assert count_ties(log, repeats=repeats) == Ties(len(splits[0].test), tests, validations)


@pytest.mark.parametrize(
    ("rows", "repeats", "test", "validation"),
    [
        ([(0, 0, 1), (0, 1, 2), (0, 2, 3)], False, 0, 0),
        ([(0, 0, 1), (0, 1, 3), (0, 2, 3)], False, 1, 1),
        ([(0, 0, 2), (0, 1, 2), (0, 2, 3)], False, 0, 1),
        ([(0, 0, 2), (0, 1, 2), (0, 2, 3), (0, 3, 4)], False, 0, 0),  # in the past
        ([(0, 0, 1), (0, 1, 3), (0, 1, 3)], True, 0, 0),  # the same item in any order
        ([(0, 0, 3), (0, 1, 3)], False, 0, 0),  # two events are too few to hold one out
    ],
)
def test_where_a_tie_stands(rows: list[tuple[int, int, int]], repeats: bool, test: int, validation: int) -> None:
    ties = count_ties(log_of(rows), repeats=repeats)
    assert (ties.test, ties.validation) == (test, validation)


def same(one: EvaluationSplit, other: EvaluationSplit) -> bool:
    return (
        np.array_equal(one.test.targets, other.test.targets)
        and np.array_equal(one.validation.targets, other.validation.targets)
        and np.array_equal(one.past.items, other.past.items)
        and np.array_equal(one.known.items, other.known.items)
    )


def test_days_as_times_are_drawn_anew_for_each_seed_and_stay_with_it() -> None:
    log = log_of([(user, item, 7) for user in range(USERS) for item in range(ITEMS)])
    draws = SplitDraws.leave_last_out(log, repeats=False)
    assert (draws.varies, draws.ties) == (True, Ties(USERS, USERS, USERS))
    first = [draws.split(seed) for seed in range(8)]  # more than are kept
    assert not same(first[0], first[1])
    assert all(same(draws.split(seed), first[seed]) for seed in range(8))
    assert same(draws.split(3), leave_last_out(log, repeats=False, seed=3))
    assert "4 and the validation event of 4 of 4 shoppers are drawn anew" in str(draws.ties and draws.ties.sentence())


def test_without_a_tie_all_seeds_have_one_split() -> None:
    draws = SplitDraws.leave_last_out(checkerboard(), repeats=False)
    assert (draws.varies, draws.ties) == (False, Ties(40, 0, 0))
    assert draws.split(0) is draws.split(5)
    assert "the same for every seed" in str(draws.ties and draws.ties.sentence())


def test_a_split_in_time_is_the_same_for_every_seed() -> None:
    split = temporal(checkerboard(), repeats=False)
    draws = SplitDraws.fixed(split)
    assert (draws.split(0), draws.split(1), draws.varies, draws.ties) == (split, split, False, None)


def test_the_common_past_has_only_items_that_are_in_the_past_with_every_seed() -> None:
    # User 0 holds out two of three items with one time: each seed has another one left. Items 3 to 5 are always known.
    rows = [(0, item, 7) for item in range(3)] + [(1, item, time) for time, item in enumerate((3, 4, 5, 0, 1))]
    log = make_log(rows, num_users=2, num_items=6)
    draws = SplitDraws.leave_last_out(log, repeats=False)
    pasts = [set(draws.split(seed).past.items.tolist()) for seed in range(12)]
    assert any(item in past for past in pasts for item in range(3))
    assert set(draws.common_past(12).items.tolist()) == set.intersection(*pasts) == {3, 4, 5}
    assert set(draws.common_past(1).items.tolist()) == pasts[0]
    fixed = SplitDraws.fixed(leave_last_out(checkerboard(), repeats=False))
    assert fixed.common_past(12) is fixed.split(0).past
