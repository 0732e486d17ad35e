"""The habit term in a shop whose habits are known: what is bought each week, and what was bought once."""

import logging
from math import log1p

import numpy as np
import pytest
import torch

from graphstore.tables import DAY_MS
from tests.training.checkerboard import joined, make_log
from training.data.event_log import EventLog, Histories
from training.terms.habit.examples import HabitSettings, TooFewHabits
from training.terms.habit.term import Habit

pytestmark = pytest.mark.slow

END = 140
WEEKLY, ONCE = range(5), range(5, 10)


def shop(*, num_users: int = 120, seed: int = 0) -> EventLog:
    """Each shopper buys three weekly items every seven days, and three other items once, some time."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(num_users):
        for item in rng.choice(WEEKLY, 3, replace=False):
            rows += [(user, int(item), day * DAY_MS) for day in range(int(rng.integers(7)), END, 7)]
        rows += [(user, int(item), int(rng.integers(END)) * DAY_MS) for item in rng.choice(ONCE, 3, replace=False)]
    return make_log(rows, num_users=num_users, num_items=10)


LOG = shop()
SETTINGS = HabitSettings(7 * DAY_MS)


@pytest.fixture(scope="module")
def habit() -> Habit:
    return Habit.fit(LOG, SETTINGS, seed=0)


def test_what_is_bought_each_week_comes_again_and_what_was_bought_once_long_ago_does_not(habit: Habit) -> None:
    history = Histories.from_rows([[(0, day * DAY_MS, 3) for day in range(0, END, 7)] + [(7, 20 * DAY_MS, 3)], []])
    features = habit.score(history, as_of=END * DAY_MS)[:, :, 0]
    assert features[0, 0] > log1p(90)
    assert 0 < features[0, 7] < log1p(5)
    assert not features[0, [1, 2, 3, 4, 5, 6, 8, 9]].any()
    assert not features[1].any()


def test_every_shopper_of_the_shop_takes_the_weekly_items_first(habit: Habit) -> None:
    features = habit.score(LOG.histories(np.arange(LOG.num_users)), as_of=END * DAY_MS)[:, :, 0]
    assert (features.topk(3).indices < len(WEEKLY)).all()


def test_an_update_counts_the_popularity_and_no_more(habit: Habit) -> None:
    term = Habit.from_state(habit.state())
    before = term.state()
    term.update(joined(LOG, make_log([(0, 3, END * DAY_MS)] * 4, num_users=LOG.num_users, num_items=12)))
    after = term.state()
    assert term.num_items == 12
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"popularity", "clock"}


def test_a_fit_on_more_has_the_same_settings_and_other_nets(habit: Habit) -> None:
    again = habit.refit(shop(seed=1), seed=0)
    assert again.settings == habit.settings
    assert again.choices == {"horizon_days": 7.0, "cuts": 4}
    assert not torch.equal(again.nets.weights[0], habit.nets.weights[0])


def test_a_log_with_too_few_repeats_offers_no_term_and_a_refit_keeps_its_nets_and_says_so(
    habit: Habit, caplog: pytest.LogCaptureFixture
) -> None:
    few = shop(num_users=3)
    with pytest.raises(TooFewHabits):
        Habit.fit(few, SETTINGS, seed=0)
    with caplog.at_level(logging.WARNING):
        again = habit.refit(few, seed=0)
    assert "keeps its nets" in caplog.text
    assert torch.equal(again.nets.weights[0], habit.nets.weights[0])
    assert not torch.equal(again.state()["hazards"], habit.state()["hazards"])


def test_the_newest_events_of_an_item_carry_most(habit: Habit) -> None:
    history = Histories.from_rows([[(0, day * DAY_MS, 3) for day in range(0, END, 7)] + [(7, 20 * DAY_MS, 3)]])
    weights = np.array([2.0], dtype=np.float32)
    carried = habit.carried(history, weights, np.array([0, 1, 7]), as_of=END * DAY_MS)
    of_milk = np.flatnonzero(history.items == 0)
    assert (np.diff(carried[of_milk, 0]) > 0).all()
    assert carried.sum(axis=0) == pytest.approx(habit.score_one(history, weights, as_of=END * DAY_MS)[[0, 1, 7]])
    assert carried[history.items == 7].tolist() == [[0, 0, pytest.approx(carried[:, 2].sum())]]
