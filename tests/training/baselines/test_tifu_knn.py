"""TIFU-KNN against the formulas of its paper, worked out by hand."""

from math import sqrt

import numpy as np
import pytest

from tests.training.checkerboard import DAY_MS, make_log
from training.baselines import tifu_knn
from training.baselines.tifu_knn import TifuKnn, TifuKnnSettings, fit_tifu_knn, user_vectors
from training.baselines.visits import Visits
from training.data.splits import temporal
from training.options import TrainingOptions

TWO_GROUPS = TifuKnnSettings(neighbours=2, groups=2, within_decay=0.5, group_decay=0.25, own_share=0.6)


def test_five_visits_in_two_groups():
    """The older group has two visits, the newer three: each visit has an item of its own."""
    log = make_log([(0, day, day * DAY_MS) for day in range(5)], num_users=1, num_items=5)
    vector = user_vectors(Visits.of_log(log), TWO_GROUPS).toarray()[0]
    older, newer = [0.5 / 2, 1 / 2], [0.25 / 3, 0.5 / 3, 1 / 3]
    assert vector.tolist() == pytest.approx([*(0.25 * value / 2 for value in older), *(value / 2 for value in newer)])


def test_fewer_visits_than_groups_are_a_group_each():
    log = make_log([(0, 0, 0), (0, 1, DAY_MS), (0, 0, 2 * DAY_MS)], num_users=1, num_items=2)
    settings = TifuKnnSettings(groups=7, within_decay=0.5, group_decay=0.9)
    vector = user_vectors(Visits.of_log(log), settings).toarray()[0]
    assert vector.tolist() == pytest.approx([(0.9**2 + 1) / 3, 0.9 / 3])


def test_a_repeated_item_counts_in_each_visit_and_once_in_a_visit():
    log = make_log([(0, 0, 0), (0, 0, 5), (0, 0, DAY_MS), (0, 1, DAY_MS)], num_users=1, num_items=2)
    settings = TifuKnnSettings(groups=1, within_decay=0.5)
    assert user_vectors(Visits.of_log(log), settings).toarray()[0].tolist() == pytest.approx([(0.5 + 1) / 2, 1 / 2])


@pytest.mark.parametrize("cells", [4_000_000, 1])
def test_the_score_mixes_the_own_vector_with_the_mean_of_the_nearest(monkeypatch, cells):
    """Users 0 to 3 take the sets {0}, {0, 1}, {2}, {0, 2, 3} once; a distance is the root of the unshared items."""
    monkeypatch.setattr(tifu_knn, "BLOCK_CELLS", cells)
    sets = [(0,), (0, 1), (2,), (0, 2, 3)]
    rows = [(user, item, user) for user, items in enumerate(sets) for item in items]
    log = make_log(rows, num_users=6, num_items=4)
    model = TifuKnn(user_vectors(Visits.of_log(log), TWO_GROUPS), TWO_GROUPS)
    scores = model(log.histories(np.arange(5)), as_of=DAY_MS).numpy()
    # User 0: itself (0) and user 1 (1). User 1: itself and user 0. User 2: itself, and user 0 or 3 (both √2) …
    assert scores[0].tolist() == pytest.approx([0.6 + 0.4 * 1, 0.4 / 2, 0, 0])
    assert scores[1].tolist() == pytest.approx([0.6 + 0.4 * 1, 0.6 + 0.4 / 2, 0, 0])
    assert scores[2, 2] >= 0.6 + 0.4 / 2 - 1e-6
    # User 3: itself; users 0 and 2 are both √2 away, user 1 is √3.
    assert scores[3, 3] == pytest.approx(0.6 + 0.4 / 2)
    assert scores[3, 1] == 0
    # User 4 has no events: the vectors nearest to zero are those of one item, users 0 and 2.
    assert scores[4].tolist() == pytest.approx([0.4 / 2, 0, 0.4 / 2, 0])
    assert model.num_parameters == 7


def test_all_neighbours_give_the_mean_of_all_and_none_are_asked_for_the_own_vector():
    rng = np.random.default_rng(0)
    rows = [(int(u), int(i), int(t) * DAY_MS) for u, i, t in rng.integers(0, [20, 15, 30], (300, 3))]
    log = make_log(rows, num_users=20, num_items=15)
    histories = log.histories(np.arange(20))
    vectors = user_vectors(Visits.of_log(log), TifuKnnSettings())
    own = vectors.toarray()
    alone = TifuKnn(vectors, TifuKnnSettings(own_share=1.0))(histories, as_of=0)
    np.testing.assert_allclose(alone.numpy(), own, rtol=1e-6)
    everybody = TifuKnn(vectors, TifuKnnSettings(neighbours=300, own_share=0.0))(histories, as_of=0)
    np.testing.assert_allclose(everybody.numpy(), np.tile(own.mean(axis=0), (20, 1)), rtol=1e-5)


def test_neighbours_are_those_of_a_brute_force():
    rng = np.random.default_rng(1)
    rows = [(int(u), int(i), int(t) * DAY_MS) for u, i, t in rng.integers(0, [30, 12, 40], (500, 3))]
    log = make_log(rows, num_users=30, num_items=12)
    settings = TifuKnnSettings(neighbours=5, groups=3, own_share=0.3)
    own = user_vectors(Visits.of_log(log), settings)
    scores = TifuKnn(own, settings)(log.histories(np.arange(30)), as_of=0).numpy()
    vectors = own.toarray().astype(np.float64)
    for user, vector in enumerate(vectors):
        distances = [sqrt(((vector - other) ** 2).sum()) for other in vectors]
        nearest = np.argsort(distances)[:5]
        wanted = 0.3 * vector + 0.7 * vectors[nearest].mean(axis=0)
        np.testing.assert_allclose(scores[user], wanted, atol=1e-6)


def test_what_has_no_meaning_is_not_tuned():
    """Without repeats α is 0; with one visit for each user, groups and decays stay at their start."""
    rows = [(user, item, user) for user in range(30) for item in (user % 5, 5 + user % 3, 8 + user % 2)]
    rows += [(user, 10 + user % 2, DAY_MS // 2 + user) for user in range(30)]
    split = temporal(make_log(rows, num_users=30, num_items=12), repeats=False)
    settings = fit_tifu_knn(split, TrainingOptions(seed=0)).settings
    start = TifuKnnSettings()
    assert settings["own_share"] == 0
    assert (settings["groups"], settings["within_decay"]) == (start.groups, start.within_decay)
