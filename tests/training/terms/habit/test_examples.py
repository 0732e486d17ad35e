"""Training pairs at earlier cuts: who has one, what its label says, and nothing of what came later."""

from dataclasses import replace

import numpy as np
import pytest

from graphstore.tables import DAY_MS
from tests.training.checkerboard import make_log
from training.terms.habit.columns import COLUMN_NAMES
from training.terms.habit.examples import HabitSettings, TooFewHabits, training_pairs

WEEK = HabitSettings(7 * DAY_MS, min_repeats=1)
AGE, DAYS = COLUMN_NAMES.index("age"), COLUMN_NAMES.index("days")


def weekly(weeks: int, *, more: list[tuple[int, int, int]] | None = None) -> list[tuple[int, int, int]]:
    """Shopper 0 buys item 0 each week at its end, and item 1 on the first day."""
    rows = [(0, 0, (7 * week + 6) * DAY_MS) for week in range(weeks)]
    return [*rows, (0, 1, 0), *(more or [])]


def test_a_pair_of_each_cut_with_enough_past_and_whether_it_came_again() -> None:
    """The log ends with day 41. Cuts after day 34, 27, 20 and 13; at each, milk came again and the other did not."""
    columns, labels = training_pairs(make_log(weekly(6), num_users=1, num_items=2), WEEK, seed=0)
    assert columns.shape == (8, len(COLUMN_NAMES))
    assert labels.tolist() == [True, False] * 4
    assert np.expm1(columns[:, DAYS]).round().tolist() == [5, 1, 4, 1, 3, 1, 2, 1]
    assert np.expm1(columns[1::2, AGE]).round().tolist() == [34, 27, 20, 13]


def test_a_cut_has_a_horizon_of_past_before_it() -> None:
    assert len(training_pairs(make_log(weekly(3), num_users=1, num_items=2), WEEK, seed=0)[1]) == 2
    few = replace(WEEK, cuts=1)
    assert len(training_pairs(make_log(weekly(6), num_users=1, num_items=2), few, seed=0)[1]) == 2


def test_shoppers_who_do_not_come_after_a_cut_have_no_pairs_there() -> None:
    """Shopper 1 bought on day 10 and was never seen again; shopper 2 is new in the last week."""
    rows = weekly(6, more=[(1, 0, 10 * DAY_MS), (2, 1, 40 * DAY_MS)])
    _, labels = training_pairs(make_log(rows, num_users=3, num_items=2), WEEK, seed=0)
    assert len(labels) == 8


def test_what_comes_after_a_cut_decides_the_labels_and_no_column() -> None:
    rng = np.random.default_rng(0)
    past = [(user, int(item), int(day) * DAY_MS) for user in range(9) for item, day in rng.integers(0, 9, size=(8, 2))]
    last = [(user, 8, 21 * DAY_MS) for user in range(9)]  # everybody comes, so everybody has pairs
    one_cut = HabitSettings(10 * DAY_MS, cuts=1, min_repeats=1)
    found = [
        training_pairs(make_log(past + last + later, num_users=9, num_items=9), one_cut, seed=0)
        for later in ([(0, 0, 20 * DAY_MS)] * 9, [(user, 3, 15 * DAY_MS) for user in range(9)])
    ]
    assert np.array_equal(found[0][0], found[1][0])
    assert not np.array_equal(found[0][1], found[1][1])


def test_more_pairs_than_asked_for_are_sampled_with_the_seed() -> None:
    rows = [(user, item, day * DAY_MS) for user in range(20) for item in range(5) for day in (user % 5, 12, 20)]
    log = make_log(rows, num_users=20, num_items=5)
    sampled = replace(WEEK, pairs_per_cut=30)
    whole, part = (training_pairs(log, settings, seed=0)[0] for settings in (WEEK, sampled))
    assert len(whole) > len(part) == 30 * (len(whole) // 100)
    assert {row.tobytes() for row in part} <= {row.tobytes() for row in whole}
    assert np.array_equal(part, training_pairs(log, sampled, seed=0)[0])
    assert not np.array_equal(part, training_pairs(log, sampled, seed=1)[0])


def test_too_little_past_and_too_few_repeats_are_said() -> None:
    with pytest.raises(TooFewHabits, match="0 known items were taken again after 0 earlier cuts"):
        training_pairs(make_log(weekly(1), num_users=1, num_items=2), WEEK, seed=0)
    with pytest.raises(TooFewHabits, match=r"4 known items .* needs 5"):
        training_pairs(make_log(weekly(6), num_users=1, num_items=2), replace(WEEK, min_repeats=5), seed=0)
    with pytest.raises(TooFewHabits, match="0 known"):
        training_pairs(make_log([], num_users=0, num_items=2), WEEK, seed=0)
    with pytest.raises(TooFewHabits, match=r"0\.5 days"):
        HabitSettings(DAY_MS // 2)
