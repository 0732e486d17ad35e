"""The baselines on the toy worlds, tuned on a window."""

from math import inf

import numpy as np
import pytest
import torch

from tests.training.checkerboard import DAY_MS, checkerboard, joined, make_log
from training.baselines.gate import (
    LINEAR_ITEM_MODEL,
    PERSONAL_FREQUENCY,
    RECENT_POPULARITY,
    tune_baselines,
    tune_popularity,
)
from training.data.event_log import GrownLog
from training.data.windows import Window
from training.evaluation.ranking import evaluate
from training.terms.trend import Trend


def ndcg(scorer, window: Window) -> float:
    return evaluate(scorer, window).metrics()["ndcg@20"]


def test_the_linear_model_knows_the_checkerboard():
    log = checkerboard()
    start = 4 * DAY_MS
    window = Window.cut(log, start=start, repeats=False)
    baselines, linear_filter = tune_baselines(log.between(end=start), window)
    assert list(baselines) == [RECENT_POPULARITY, LINEAR_ITEM_MODEL, PERSONAL_FREQUENCY]
    scores = {name: ndcg(baseline, window) for name, baseline in baselines.items()}
    assert scores[LINEAR_ITEM_MODEL] > scores[RECENT_POPULARITY] + 0.1
    histories = window.histories
    own = baselines[LINEAR_ITEM_MODEL](histories, as_of=start)
    torch.testing.assert_close(own, linear_filter.response(histories))
    linear_filter.update(GrownLog.since(log, start))
    assert torch.equal(baselines[LINEAR_ITEM_MODEL](histories, as_of=start), own)  # a copy of its own


def test_popularity_takes_the_half_life_that_ranks_best():
    """Item 1 sold well long ago, item 2 sells now; then the other way round in the window."""
    old = [(user, 1, user) for user in range(30)]
    new = [(user, 2, 30 * DAY_MS + user) for user in range(10)]
    log = make_log(old + new, num_users=60, num_items=3)
    trend = Trend.fit(log, (24.0, inf))

    def chosen(item: int) -> float:
        later = make_log([(user, item, 31 * DAY_MS) for user in range(40, 60)], num_users=60, num_items=3)
        return tune_popularity(trend, Window.after(log, later, as_of=31 * DAY_MS, repeats=True)).half_life_hours

    assert chosen(2) == 24.0
    assert chosen(1) == inf


@pytest.fixture
def habits():
    """Everybody buys their own item daily, and once a week what is popular with everybody."""
    rows = [(user, user, day * DAY_MS + user) for day in range(40) for user in range(20)]
    rows += [(user, 20, day * DAY_MS + user) for day in range(0, 40, 7) for user in range(20)]
    return make_log(rows, num_users=20, num_items=30)


def test_personal_frequency_knows_habits(habits):
    start = 30 * DAY_MS
    window = Window.cut(habits, start=start, repeats=True)
    baselines, _ = tune_baselines(habits.between(end=start), window)
    scores = {name: ndcg(baseline, window) for name, baseline in baselines.items()}
    assert scores[PERSONAL_FREQUENCY] == pytest.approx(1.0)
    assert scores[PERSONAL_FREQUENCY] > scores[RECENT_POPULARITY] + 0.1


def test_they_take_in_new_events(habits):
    start = 30 * DAY_MS
    window = Window.cut(habits, start=start, repeats=True)
    baselines, _ = tune_baselines(habits.between(end=start), window)
    new = make_log([(user, 29, start) for user in range(20)] * 60, num_users=20, num_items=30)
    for baseline in baselines.values():
        baseline.update(joined(habits.between(end=start), new))
    nobody = habits.histories(np.array([0]), before=0)
    assert int(baselines[RECENT_POPULARITY](nobody, as_of=start)[0].argmax()) == 29
    assert int(baselines[PERSONAL_FREQUENCY](nobody, as_of=start)[0].argmax()) == 29
