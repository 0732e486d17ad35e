"""The choice among variants: as simple as the window can tell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.blend_search import simplest


def test_a_lucky_rich_variant_does_not_win_on_a_few_users():
    rng = np.random.default_rng(0)
    few, many = (rng.normal(size=users) for users in (30, 30_000))
    noise = [rng.normal(size=len(score)) for score in (few, many)]
    assert simplest([few, few + 0.05 + noise[0]]) == 0
    assert simplest([many, many + 0.05 + noise[1]]) == 1


def test_of_equals_the_first_is_taken():
    assert simplest([np.ones(5), np.ones(5), np.ones(5)]) == 0


@given(st.lists(st.lists(st.floats(0, 1), min_size=7, max_size=7), min_size=1, max_size=5))
def test_what_is_chosen_is_within_one_standard_error_of_the_best(rows):
    scores = [np.array(row) for row in rows]
    best = max(scores, key=lambda score: score.mean())
    behind = best - scores[simplest(scores)]
    assert behind.mean() <= behind.std() / np.sqrt(7) + 1e-12


def test_nobody_chooses_nothing():
    with pytest.raises(ValueError, match="nobody"):
        simplest([np.empty(0)])
