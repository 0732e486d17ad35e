"""Hazards against a count by hand, their integral, and the frailty of shoppers that differ as they were made to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphstore.arrays import IntArray
from training.terms.habit.hazard import BIN_STARTS, FRAILTY_RANGE, PRIOR_REPEATS, Hazards, bins_of, frailty_strength

NONE = np.empty(0, dtype=np.int64)


def repeated(*values: tuple[int, int]) -> IntArray:
    """Each value so many times."""
    return np.concatenate([np.full(times, value, dtype=np.int64) for value, times in values])


def test_a_bin_holds_the_days_up_to_the_start_of_the_next() -> None:
    assert bins_of(np.array([0, 1, 2, 3, 4, 7, 8, 400, 401, 9_000])).tolist() == [0, 0, 0, 1, 1, 2, 3, 15, 16, 16]


def test_a_rate_is_deaths_over_days_at_risk_where_there_are_many() -> None:
    """So many gaps of 3 days, and as many that are open since day 5, that little of the prior is left."""
    many = 100_000
    hazards = Hazards.fit(
        repeated((3, many)), repeated((0, many)), repeated((5, many)), repeated((0, many)), num_items=1
    )
    bin_of_3 = many / (many * 1 + many * 2)  # one day of each finished gap, both days of each open gap
    assert hazards.rates[0, :3] == pytest.approx([0, bin_of_3, 0], abs=1e-3)


def test_an_item_of_few_gaps_is_near_the_average_and_a_later_one_is_the_average() -> None:
    gaps, items = repeated((7, 5_000), (60, 5_000), (7, 1)), repeated((0, 5_000), (1, 5_000), (2, 1))
    hazards = Hazards.fit(gaps, items, NONE, NONE, num_items=3)
    often, seldom, rare, average = (hazards.cumulative(np.array([row]), np.array([30]))[0] for row in range(4))
    assert often > average > seldom
    assert rare == pytest.approx(average, rel=0.15)  # of 80 repeats of the prior, one bin has five
    assert hazards.cumulative(np.array([99]), np.array([30]))[0] == average


def test_the_prior_is_a_level_and_then_a_shape() -> None:
    """One item alone: its level is that of all, and each bin is shrunk towards the common shape."""
    gaps, open_gaps = repeated((3, 100), (6, 100)), repeated((10, 100))
    hazards = Hazards.fit(gaps, np.zeros(200, np.int64), open_gaps, np.zeros(100, np.int64), num_items=1)
    exposure, deaths = np.zeros(len(BIN_STARTS)), np.zeros(len(BIN_STARTS))
    exposure[:4] = [600, 100 + 200 + 200, 100 * 2 + 100 * 3, 100 * 3]
    deaths[[1, 2]] = 100
    average = (200 + 1) / (exposure.sum() + 1)
    common = (deaths + 1) / (exposure + 1 / average)
    level = (200 + PRIOR_REPEATS) / (exposure @ common + PRIOR_REPEATS)
    share = PRIOR_REPEATS / len(BIN_STARTS)
    assert hazards.rates[0] == pytest.approx((deaths + share) / (exposure + share / (level * common)))
    assert hazards.rates[1] == pytest.approx(common)


@given(st.lists(st.tuples(st.integers(1, 900), st.integers(0, 3)), max_size=40), st.integers(0, 4))
def test_the_integral_is_that_of_the_rates_day_by_day(gaps: list[tuple[int, int]], item: int) -> None:
    days, items = (np.array([row[part] for row in gaps], dtype=np.int64) for part in (0, 1))
    hazards = Hazards.fit(days, items, days, items, num_items=4)
    assert (hazards.rates > 0).all()
    by_day = hazards.rates[item, bins_of(np.arange(1, 501))]
    found = hazards.cumulative(np.full(500, item), np.arange(1, 501))
    np.testing.assert_allclose(found, np.cumsum(by_day), rtol=1e-9)


@pytest.mark.parametrize("strength", [0.5, 3.0])
def test_the_frailty_is_that_of_the_shoppers(strength: float) -> None:
    rng = np.random.default_rng(0)
    expected = rng.uniform(0.5, 6.0, size=50_000)
    repeats = rng.poisson(expected * rng.gamma(strength, 1 / strength, size=len(expected)))
    assert frailty_strength(repeats, expected) == pytest.approx(strength, rel=0.1)


def test_shoppers_that_are_all_alike_have_the_largest_strength() -> None:
    assert frailty_strength(np.full(9, 2), np.full(9, 2.0)) == FRAILTY_RANGE[1]
    assert frailty_strength(NONE, np.empty(0)) == FRAILTY_RANGE[1]
    assert frailty_strength(np.array([1_000, 0]), np.array([1e-6, 1e-6])) == FRAILTY_RANGE[0]
