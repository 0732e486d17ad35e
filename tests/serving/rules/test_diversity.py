"""Likeness of items, and utilities as the list grows."""

import numpy as np
import pytest

from graphstore.arrays import Float32Array
from serving.rules.diversity import SPREADS, Diversity, Likeness
from tests.serving.rules.shelf import item

ITEMS = [item(1, "Food", "Tea"), item(2, "Food", "Milk"), item(3, "Garden"), item(4)]
ONE_TIER = np.zeros(4, dtype=np.int64)


def vectors(*rows: tuple[float, float]) -> dict[int, Float32Array]:
    return {key + 1: np.array(row, dtype=np.float32) for key, row in enumerate(rows)}


def test_likeness_is_the_cosine_of_two_vectors_and_never_below_zero() -> None:
    likeness = Likeness(ITEMS, vectors((2, 0), (3, 3), (0, 1), (-1, 0)))
    assert likeness.to(0) == pytest.approx([1, 0.5**0.5, 0, 0])


def test_without_vectors_it_is_the_share_of_common_categories() -> None:
    for without in (None, {}, vectors((0, 0))):
        assert Likeness(ITEMS, without).to(0) == pytest.approx([1, 1 / 3, 0, 0])
        assert Likeness(ITEMS, without).to(3) == pytest.approx([0, 0, 0, 0])


def test_an_item_without_a_vector_is_compared_by_its_categories() -> None:
    likeness = Likeness(ITEMS, {1: np.ones(2, dtype=np.float32), 3: np.ones(2, dtype=np.float32)})
    assert likeness.to(0) == pytest.approx([1, 1 / 3, 1, 0])
    assert likeness.to(1) == pytest.approx([1 / 3, 1, 0, 0])


def test_the_utility_falls_with_the_largest_likeness_to_an_item_before() -> None:
    scores = np.array([3.0, 1.0, 1.0, -1.0])
    diversity = Diversity(scores, ONE_TIER, 0.25, Likeness(ITEMS, None))
    assert diversity.utilities() == pytest.approx(0.75 * scores)
    diversity.add(0)
    diversity.add(2)
    price = 0.25 * SPREADS * scores.std()
    assert diversity.utilities() == pytest.approx(0.75 * scores - price * np.array([1, 1 / 3, 1, 0]))


def test_the_dial_means_the_same_whatever_the_scale_of_the_scores() -> None:
    scores = np.array([3.0, 1.0, 0.5, -1.0])
    small, large = (Diversity(scores * scale, ONE_TIER, 0.4, Likeness(ITEMS, None)) for scale in (1, 50))
    for diversity in (small, large):
        diversity.add(1)
    assert large.utilities() == pytest.approx(50 * small.utilities())


def test_among_equal_scores_the_unlike_item_comes() -> None:
    diversity = Diversity(np.zeros(4), ONE_TIER, 0.1, Likeness(ITEMS, None))
    diversity.add(0)
    assert int(np.argmax(diversity.utilities())) == 2


def test_each_tier_has_its_own_scale() -> None:
    tiers = np.array([0, 0, 1, 1])
    diversity = Diversity(
        np.array([1.0, 0.0, 500.0, 0.0]), tiers, 0.5, Likeness([item(key, "Tea") for key in range(4)], None)
    )
    diversity.add(0)
    assert diversity.utilities() == pytest.approx([0.5 - 0.75, -0.75, 250 - 375, -375])


def test_vectors_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"different lengths: \[1, 2\]"):
        Likeness(ITEMS, {1: np.ones(1, dtype=np.float32), 2: np.ones(2, dtype=np.float32)})
