"""The logged propensity is the true one: against hand-computed cases, enumeration, and frequencies of real draws."""

from collections import Counter
from itertools import permutations
from math import exp, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import exploration
from serving.exploration import draw, draw_next, probabilities, propensities, seed_of
from serving.routing import Exploration

SCORES = [2.0, 1.0, -0.5]
SETTINGS = st.builds(
    Exploration,
    temperature=st.one_of(st.just(0.0), st.floats(1e-3, 50.0)),
    new_items=st.one_of(st.just(0.0), st.floats(0.0, 1.0)),
)
LISTS = st.lists(st.floats(-30, 30), max_size=6).map(lambda scores: sorted(scores, reverse=True))


def test_a_hand_computed_draw() -> None:
    how = Exploration(temperature=0.5)
    # exp(2 / 0.5), exp(1 / 0.5): two items, then one.
    first = exp(4) / (exp(4) + exp(2))
    assert propensities([2.0, 1.0], 0, how, [0, 1]) == pytest.approx([first, 1.0])
    assert propensities([2.0, 1.0], 0, how, [1, 0]) == pytest.approx([1 - first, 1.0])


def test_hand_computed_new_items() -> None:
    how = Exploration(new_items=0.2)
    # The list's first with 0.8; then one of two new items with 0.2 / 2; then the other with 0.2; then only the list.
    assert propensities([2.0, 1.0], 2, how, [0, 3, 2, 1]) == pytest.approx([0.8, 0.1, 0.2, 1.0])
    assert propensities([2.0, 1.0], 2, how, [1]) == [0.0]
    assert propensities([], 2, how, [0, 1]) == pytest.approx([0.5, 1.0])


def test_without_exploration_the_list_stays_and_each_propensity_is_one() -> None:
    drawn = draw(SCORES, 5, Exploration(), count=2, seed=1)
    assert (drawn.choices, drawn.propensities) == ([0, 1], [1.0, 1.0])
    assert not exploration.explores(Exploration())
    assert draw([], 0, Exploration(temperature=1.0), count=3, seed=1).choices == []


@given(scores=LISTS, new=st.integers(0, 3), how=SETTINGS, count=st.integers(1, 9), seed=st.integers(0, 2**64 - 1))
def test_a_draw_is_told_with_the_propensities_of_the_law(
    scores: list[float], new: int, how: Exploration, count: int, seed: int
) -> None:
    drawn = draw(scores, new, how, count=count, seed=seed)
    assert drawn == draw(scores, new, how, count=count, seed=seed)
    assert len(set(drawn.choices)) == len(drawn.choices)
    reachable = len(scores) + (new if how.new_items > 0 or not scores else 0)
    assert min(count, len(scores)) <= len(drawn.choices) <= min(count, reachable)
    if how.new_items > 0 or not new:
        expected = propensities(scores, new, how, drawn.choices)
        assert drawn.propensities == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert all(0 < chance <= 1 for chance in drawn.propensities)


@given(scores=LISTS, new=st.integers(0, 3), how=SETTINGS)
def test_the_next_position_is_a_distribution(scores: list[float], new: int, how: Exploration) -> None:
    before: list[int] = []
    while len(before) < len(scores) + new:
        chances = probabilities(scores, new, how, before)
        assert chances.sum() == pytest.approx(1.0)
        assert not chances[before].any()
        before.append(int(np.argmax(chances)))
    assert not probabilities(scores, new, how, before).any()


@pytest.mark.parametrize("how", [Exploration(temperature=0.7), Exploration(0.7, 0.3), Exploration(new_items=0.5)])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_the_probabilities_of_all_lists_sum_to_one(how: Exploration, count: int) -> None:
    lists = list(permutations(range(5), count))
    total = sum(prod(propensities(SCORES, 2, how, chosen)) for chosen in lists)
    assert total == pytest.approx(1.0)


@pytest.mark.parametrize(("how", "new"), [(Exploration(temperature=0.8), 0), (Exploration(0.8, 0.25), 2)])
def test_lists_come_as_often_as_their_propensities_say(how: Exploration, new: int) -> None:
    tries, count = 20_000, 3
    seen = Counter(tuple(draw(SCORES, new, how, count=count, seed=seed).choices) for seed in range(tries))
    lists = list(permutations(range(len(SCORES) + new), count))
    expected = np.array([tries * prod(propensities(SCORES, new, how, chosen)) for chosen in lists])
    counted = np.array([seen[chosen] for chosen in lists])
    assert counted.sum() == tries
    possible = expected > 0
    chi_square = float(((counted - expected)[possible] ** 2 / expected[possible]).sum())
    freedom = int(possible.sum()) - 1
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5  # four standard deviations


def test_a_temperature_near_zero_keeps_the_order_and_says_one() -> None:
    drawn = draw([65_504.0, 0.0, -65_504.0], 0, Exploration(temperature=1e-300), count=3, seed=5)
    assert (drawn.choices, drawn.propensities) == ([0, 1, 2], [1.0, 1.0, 1.0])


def test_an_item_that_the_settings_cannot_show_takes_nothing_away() -> None:
    how = Exploration(temperature=1.0)
    assert propensities([1.0, 1.0], 0, how, [None, 0]) == pytest.approx([0.0, 0.5])


def test_a_request_has_one_seed() -> None:
    assert seed_of("r1") == seed_of("r1") != seed_of("r2")


@given(scores=LISTS.filter(bool), new=st.integers(0, 3), how=SETTINGS, seed=st.integers(0, 99), data=st.data())
def test_the_next_draw_among_what_is_allowed_has_the_law_of_a_list_of_it(
    scores: list[float], new: int, how: Exploration, seed: int, data: st.DataObject
) -> None:
    new = new if how.new_items > 0 else 0
    count = len(scores) + new
    allowed = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1)))
    mask, is_new = np.zeros(count, dtype=np.bool_), np.arange(count) >= len(scores)
    mask[allowed] = True
    utilities = np.array([*scores, *([99.0] * new)])
    choice, propensity = draw_next(utilities, mask, is_new, how, np.random.default_rng(seed))
    listed = [scores[one] for one in allowed if one < len(scores)]
    law = probabilities(listed, len(allowed) - len(listed), how)
    assert choice in allowed
    assert propensity == pytest.approx(float(law[allowed.index(choice)]), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("how", [Exploration(temperature=0.8), Exploration(0.8, 0.25), Exploration(new_items=0.4)])
def test_the_next_draw_comes_as_often_as_its_propensity_says(how: Exploration) -> None:
    rng, tries = np.random.default_rng(1), 20_000
    utilities, is_new = np.array([*SCORES, 0.0, 0.0]), np.array([False, False, False, True, True])
    allowed = np.array([True, False, True, how.new_items > 0, how.new_items > 0])
    draws = [draw_next(utilities, allowed, is_new, how, rng) for _ in range(tries)]
    chances = dict(draws)
    assert sum(chances.values()) == pytest.approx(1.0)
    counts = Counter(choice for choice, _ in draws)
    chi_square = sum((counts[one] - tries * chance) ** 2 / (tries * chance) for one, chance in chances.items())
    freedom = len(chances) - 1
    assert chi_square <= freedom + 4 * (2 * freedom) ** 0.5
