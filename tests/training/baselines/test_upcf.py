"""UP-CF@r against the formulas of its paper, worked out by hand."""

from math import inf, sqrt

import numpy as np
import pytest

from tests.training.checkerboard import DAY_MS, make_log
from training.baselines import upcf
from training.baselines.upcf import Upcf, UpcfSettings, fit_upcf, recent_popularity
from training.baselines.visits import Visits
from training.data.event_log import EventLog
from training.data.splits import temporal
from training.options import TrainingOptions


def log() -> EventLog:
    """User 0 comes three times with {0}, {0, 1}, {2}; user 1 twice with {0}, {3}; user 2 once with {4}; 3 never."""
    visits = [(0, 0, (0,)), (0, 1, (0, 1)), (0, 2, (2,)), (1, 0, (0,)), (1, 5, (3,)), (2, 0, (4,))]
    rows = [(user, item, day * DAY_MS + user) for user, day, items in visits for item in items]
    return make_log(rows, num_users=4, num_items=5)


@pytest.mark.parametrize(
    ("recency", "wanted"),
    [
        (1.0, [[0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]),
        (2.0, [[1 / 2, 1 / 2, 1 / 2, 0, 0], [1 / 2, 0, 0, 1 / 2, 0], [0, 0, 0, 0, 1]]),
        (inf, [[2 / 3, 1 / 3, 1 / 3, 0, 0], [1 / 2, 0, 0, 1 / 2, 0], [0, 0, 0, 0, 1]]),
    ],
)
def test_popularity_of_the_last_visits(recency, wanted):
    found = recent_popularity(Visits.of_log(log()), recency)
    np.testing.assert_allclose(found.toarray(), wanted, rtol=1e-6)
    assert (found.data > 0).all()


@pytest.mark.parametrize("cells", [4_000_000, 1])
def test_scores_of_all_users(monkeypatch, cells):
    monkeypatch.setattr(upcf, "BLOCK_CELLS", cells)
    model = Upcf(Visits.of_log(log()), UpcfSettings(recency=inf, locality=2.0, asymmetry=0.25))
    scores = model(log().histories(np.arange(4)), as_of=9 * DAY_MS).numpy()
    # Users 0 and 1 have three and two items, one of them in common.
    from_0 = (1 / (3**0.25 * 2**0.75)) ** 2
    from_1 = (1 / (2**0.25 * 3**0.75)) ** 2
    own, other = np.array([2 / 3, 1 / 3, 1 / 3, 0, 0]), np.array([1 / 2, 0, 0, 1 / 2, 0])
    np.testing.assert_allclose(scores[0], own + from_0 * other, rtol=1e-5)
    np.testing.assert_allclose(scores[1], other + from_1 * own, rtol=1e-5)
    assert scores[2].tolist() == [0, 0, 0, 0, 1]
    assert scores[3].tolist() == [0] * 5
    assert model.num_parameters == (3 + 2 + 1) + (3 + 2 + 1)


def test_a_half_is_the_cosine_and_a_large_power_leaves_the_user_alone():
    bought = Visits.of_log(log()).bought()
    cosine = Upcf(Visits.of_log(log()), UpcfSettings(locality=1.0, asymmetry=0.5)).similarities(bought).toarray()
    np.testing.assert_allclose(cosine, [[1, 1 / sqrt(6), 0], [1 / sqrt(6), 1, 0], [0, 0, 1]], rtol=1e-6)
    alone = Upcf(Visits.of_log(log()), UpcfSettings(locality=1000.0, asymmetry=0.5)).similarities(bought).toarray()
    np.testing.assert_allclose(alone, np.eye(3), atol=1e-3)


def test_it_chooses_the_recency_that_ranks_best():
    """Everybody took one item every day for long, and another one every day since the last two weeks."""
    rows = [(user, user if day < 26 else 12 + user, day * DAY_MS + user) for day in range(40) for user in range(12)]
    split = temporal(make_log(rows, num_users=12, num_items=24), repeats=True)
    settings = fit_upcf(split, TrainingOptions(seed=0)).settings
    assert float(settings["recency"]) <= 5
