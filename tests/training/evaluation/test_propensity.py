"""Weighted metrics by hand, and on a world whose unobserved truth is known."""

from math import log2

import numpy as np
import pytest

from tests.training.checkerboard import make_log
from training.data.windows import Window
from training.evaluation.propensity import debiased_accuracy, inverse_propensities
from training.evaluation.ranking import accuracy


def window_of(targets: list[list[int]], num_items: int) -> Window:
    rows = [(user, item, 10) for user, items in enumerate(targets) for item in items]
    return Window.cut(make_log(rows, num_users=len(targets), num_items=num_items), start=5, repeats=True)


def test_a_rare_item_weighs_more_by_the_power_law():
    inverse = inverse_propensities(np.array([1, 4, 9, 0]), gamma=2.0)
    assert inverse.tolist() == pytest.approx([1, 1 / 4**1.5, 1 / 9**1.5, 1])
    assert (inverse_propensities(np.array([3, 50]), gamma=-1.0) == 1).all()


def test_by_hand():
    """The targets weigh 1, 1/2 and 1/4; the lists find the second and third target, the third alone, and nothing."""
    inverse = np.array([1, 1 / 2, 1 / 4, 1 / 8])
    window = window_of([[0, 1, 2], [1, 2], [0]], num_items=4)
    values = debiased_accuracy(np.array([[2, 3, 1], [3, 2, -1], [-1, -1, -1]]), window, inverse, cutoffs=(1, 2, 3))
    assert values["recall_ips@1"].tolist() == pytest.approx([(1 / 4) / (7 / 4), 0, 0])
    assert values["recall_ips@3"].tolist() == pytest.approx([(3 / 4) / (7 / 4), (1 / 4) / (3 / 4), 0])
    assert values["ndcg_ips@1"].tolist() == pytest.approx([1 / 4, 0, 0])
    ideal = 1 + 1 / 2 / log2(3) + 1 / 4 / 2
    assert values["ndcg_ips@3"].tolist() == pytest.approx(
        [(1 / 4 + 1 / 2 / 2) / ideal, (1 / 4 / log2(3)) / (1 / 2 + 1 / 4 / log2(3)), 0]
    )
    assert values["ndcg_ips@2"][1] == values["ndcg_ips@3"][1]


def test_equal_popularity_gives_the_plain_metrics_and_no_unit_matters():
    rng = np.random.default_rng(0)
    window = window_of([rng.choice(30, rng.integers(1, 9), replace=False).tolist() for _ in range(50)], num_items=30)
    lists = np.array([rng.permutation(30)[:10] for _ in range(50)])
    plain = accuracy(lists, window, cutoffs=(5, 10))
    equal = debiased_accuracy(lists, window, np.full(30, 0.3), cutoffs=(5, 10))
    for k in (5, 10):
        np.testing.assert_allclose(equal[f"ndcg_ips@{k}"], plain[f"ndcg@{k}"])
        np.testing.assert_allclose(equal[f"recall_ips@{k}"], plain[f"recall@{k}"])
    inverse = rng.random(30)
    one, other = (debiased_accuracy(lists, window, inverse * unit, cutoffs=(10,)) for unit in (1.0, 7.0))
    for name, found in one.items():
        np.testing.assert_allclose(found, other[name])
        assert ((found >= 0) & (found <= 1)).all()


def test_it_finds_the_recall_that_popularity_hides():
    """Shoppers want any of 200 items alike. What they want of the popular half is seen four times as often."""
    rng = np.random.default_rng(0)
    popular = np.arange(200) < 100
    seen = np.where(popular, 0.8, 0.2)
    wanted = [rng.choice(200, 80, replace=False) for _ in range(300)]
    observed = [items[rng.random(80) < seen[items]].tolist() for items in wanted]
    lists = np.tile(np.arange(100), (300, 1))  # all popular items: they find half of what is wanted
    window = window_of(observed, num_items=200)
    assert accuracy(lists, window, cutoffs=(100,))["recall@100"].mean() == pytest.approx(0.8, abs=0.02)
    item_users = np.where(popular, 400, 100)  # γ = 1: the propensity is proportional to the number of users
    inverse = inverse_propensities(item_users, gamma=1.0)
    found = debiased_accuracy(lists, window, inverse, cutoffs=(100,))["recall_ips@100"]
    assert found.mean() == pytest.approx(0.5, abs=0.03)
