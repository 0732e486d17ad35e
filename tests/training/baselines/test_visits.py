"""Baskets of a day."""

from dataclasses import replace

import numpy as np

from tests.training.checkerboard import DAY_MS, make_log
from training.baselines import visits
from training.baselines.visits import Visits, visit_tuning
from training.data.event_log import EventLog
from training.data.splits import temporal
from training.options import TrainingOptions


def log() -> EventLog:
    """User 0 comes on the days 0, 1 and 5, takes item 2 twice on day 1; user 1 never comes, user 2 once."""
    rows = [(0, 3, 5), (0, 2, DAY_MS), (0, 1, DAY_MS + 7), (0, 2, 2 * DAY_MS - 1), (0, 3, 5 * DAY_MS), (2, 0, 5)]
    return make_log(rows, num_users=3, num_items=4)


def test_a_visit_is_a_day_and_holds_an_item_once():
    cut = Visits.of(log().histories(np.arange(3)), num_items=4)
    pairs = list(zip(cut.users.tolist(), cut.items.tolist(), cut.ages.tolist(), strict=True))
    assert pairs == [(0, 3, 2), (0, 1, 1), (0, 2, 1), (0, 3, 0), (2, 0, 0)]
    assert cut.counts.tolist() == [3, 0, 1]
    assert len(cut) == 3
    assert cut.ordered


def test_of_a_log_only_users_with_events():
    cut = Visits.of_log(log())
    assert cut.counts.tolist() == [3, 1]
    assert cut.bought().toarray().tolist() == [[0, 1, 1, 1], [1, 0, 0, 0]]
    assert cut.matrix(np.array([1, 2, 4, 8, 16], dtype=np.float32)).toarray().tolist() == [[0, 2, 4, 9], [16, 0, 0, 0]]


def test_without_times_there_is_one_visit_and_nobody_gives_none():
    untimed = Visits.of_log(replace(log(), times=np.arange(6)))
    assert untimed.counts.tolist() == [1, 1]
    assert not untimed.ordered
    nobody = Visits.of(log().histories(np.empty(0, dtype=np.int64)), num_items=4)
    assert len(nobody) == 0
    assert nobody.bought().shape == (0, 4)
    assert not nobody.ordered


def test_a_sample_of_the_validation_window_chooses(monkeypatch):
    monkeypatch.setattr(visits, "TUNING_USERS", 3)
    rows = [(user, day % 5, day * DAY_MS + user) for day in range(30) for user in range(8)]
    split = temporal(make_log(rows, num_users=8, num_items=5), repeats=True)
    tuning = visit_tuning(split, "x", TrainingOptions(seed=0))
    assert len(tuning.window) == 3
    assert np.isin(tuning.window.users, split.validation.users).all()
