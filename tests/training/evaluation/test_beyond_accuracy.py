"""Measures of lists on worlds small enough to count by hand."""

from math import log2, sqrt

import numpy as np
import pytest

from tests.training.checkerboard import make_log
from training.data.windows import Window
from training.evaluation.beyond_accuracy import KnownItems, Slices, list_measures
from training.evaluation.ranking import accuracy

# Item 0 has three users, 1 has two, 2 has one, 3 none; user 3 comes in the window.
PAST = [(0, 0, 1), (1, 0, 2), (2, 0, 3), (0, 1, 4), (1, 1, 5), (0, 2, 6), (0, 0, 7)]
LATER = [(0, 3, 20), (1, 2, 21), (1, 3, 22), (3, 0, 23)]


@pytest.fixture
def log():
    return make_log(PAST + LATER, num_users=4, num_items=4)


@pytest.fixture
def known(log):
    return log.between(end=10)


@pytest.fixture
def window(log):
    return Window.cut(log, start=10, repeats=True)


def test_map_and_mrr_by_hand(window):
    lists = np.array([[1, 3, 0], [2, 0, 3], [1, 2, 3]])  # users 0, 1, 3
    values = accuracy(lists, window, cutoffs=(1, 2, 3))
    assert values["mrr@1"].tolist() == [0, 1, 0]
    assert values["mrr@3"].tolist() == [1 / 2, 1, 0]
    assert values["map@2"].tolist() == [1 / 2, 1 / 2, 0]
    assert values["map@3"].tolist() == pytest.approx([1 / 2, (1 + 2 / 3) / 2, 0])
    assert values["ndcg@3"].tolist() == pytest.approx([1 / log2(3), (1 + 1 / 2) / (1 + 1 / log2(3)), 0])


def test_an_empty_place_is_never_a_hit(window):
    lists = np.full((3, 3), -1)
    assert all((values == 0).all() for values in accuracy(lists, window, cutoffs=(3,)).values())


def test_information_popularity_and_cosine(known):
    items = KnownItems.of(known)
    assert items.information.tolist() == pytest.approx([0, log2(3 / 2), log2(3), log2(3)])
    assert items.users.tolist() == [3, 2, 1, 0]
    assert items.popularity.tolist() == [4 / 4, 3 / 4, 2 / 4, 1 / 4]
    one, other = np.array([0, 1, 1, 0, 3]), np.array([1, 0, 2, 2, 0])
    assert items.cosines(one, other).tolist() == pytest.approx([2 / sqrt(6), 2 / sqrt(6), 1 / sqrt(2), 1 / sqrt(3), 0])


def test_list_measures_by_hand(known, window):
    lists = np.array([[0, 1, -1], [1, 2, -1], [0, -1, -1]])
    measured = list_measures(lists, window, KnownItems.of(known), cutoffs=(1, 3))
    assert measured["coverage@1"] == 2 / 4
    assert measured["coverage@3"] == 3 / 4
    assert measured["novelty@3"] == pytest.approx((0 + log2(1.5) + log2(1.5) + log2(3) + 0) / 5)
    assert measured["diversity@1"] == 0  # no pair, nothing to say
    assert measured["diversity@3"] == pytest.approx(1 - (2 / sqrt(6) + 1 / sqrt(2)) / 2)
    # User 0 had items 0, 0, 1, 2; user 1 had 0 and 1; user 3 had nothing and is left out.
    before = [(1 + 1 + 3 / 4 + 2 / 4) / 4, (1 + 3 / 4) / 2]
    after = [(1 + 3 / 4) / 2, (3 / 4 + 2 / 4) / 2]
    assert measured["popularity_bias@3"] == pytest.approx(np.subtract(after, before).mean())


def test_nothing_listed_measures_zero(known, window):
    measured = list_measures(np.full((3, 2), -1), window, KnownItems.of(known), cutoffs=(2,))
    assert set(measured.values()) == {0.0}


def test_diversity_is_taken_of_the_same_users_each_time(known, window, monkeypatch):
    lists = np.array([[0, 1], [1, 2], [0, 3]])
    whole = list_measures(lists, window, KnownItems.of(known), cutoffs=(2,))["diversity@2"]
    monkeypatch.setattr("training.evaluation.beyond_accuracy.DIVERSITY_USERS", 2)
    part = [list_measures(lists, window, KnownItems.of(known), cutoffs=(2,))["diversity@2"] for _ in range(2)]
    assert part[0] == part[1] != whole


@pytest.mark.parametrize("bound", ["PAIR_CELLS", "PAIR_ENTRIES"])
def test_diversity_is_the_same_in_blocks_of_any_size(known, window, monkeypatch, bound):
    lists = np.array([[0, 1, 2], [1, 2, -1], [-1, -1, -1]])
    whole = list_measures(lists, window, KnownItems.of(known), cutoffs=(3,))
    assert 0 < whole["diversity@3"] < 1
    for size in (1, 4, 7):
        monkeypatch.setattr(f"training.evaluation.beyond_accuracy.{bound}", size)
        assert list_measures(lists, window, KnownItems.of(known), cutoffs=(3,)) == whole


def test_slices_of_users_and_of_new_items(known, window):
    slices = Slices.of(window, known)
    assert slices.warm.tolist() == [True, False, False]  # four events, two, none
    assert slices.cold_items.users.tolist() == [0, 1]
    assert slices.cold_items.targets.tolist() == [3, 3]
    lists = np.array([[3, 0], [2, 3], [0, 1]])
    means = slices.means(accuracy(lists, window, cutoffs=(2,)), lists, cutoffs=(2,))
    assert means["warm"] == pytest.approx(
        {"ndcg@2": 1, "recall@2": 1, "precision@2": 0.5, "hit_rate@2": 1, "map@2": 1, "mrr@2": 1, "users": 1}
    )
    assert means["cold_users"]["users"] == 2
    assert means["cold_users"]["recall@2"] == 1
    assert means["cold_items"] == pytest.approx({"recall@2": 1, "ndcg@2": (1 + 1 / log2(3)) / 2, "users": 2})


def test_an_empty_slice_has_no_means(log, known):
    window = Window.cut(log, start=23, repeats=True)  # user 3 with item 0, cold, and no new item
    means = Slices.of(window, known).means(
        accuracy(np.array([[0]]), window, cutoffs=(1,)), np.array([[0]]), cutoffs=(1,)
    )
    assert (means["warm"]["users"], means["warm"]["ndcg@1"]) == (0, None)
    assert means["cold_items"] == {"recall@1": None, "ndcg@1": None, "users": 0}
