"""Intervals: what they promise, and how often they hold the truth when shoppers differ."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitoring.intervals import (
    Rate,
    difference,
    difference_of_means,
    mean_ratio,
    proportion,
    student_z,
    wilson_interval,
)
from training.evaluation.sequential import ClusterSums

proportions = st.integers(1, 10**7).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_the_interval_of_a_known_case():
    # Wilson's interval of 10 of 100 by hand: centre .11479, half width .05956.
    assert wilson_interval(10, 100) == pytest.approx((0.05523, 0.17437), abs=1e-5)


@given(proportions)
def test_the_interval_holds_the_rate_and_stays_within_0_and_1(counts):
    successes, trials = counts
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert low < high


@given(proportions)
def test_the_interval_of_misses_mirrors_that_of_hits(counts):
    successes, trials = counts
    low, high = wilson_interval(successes, trials)
    mirrored = wilson_interval(trials - successes, trials)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(proportions, st.integers(2, 50))
def test_more_of_the_same_evidence_narrows_the_interval(counts, times):
    successes, trials = counts
    low, high = wilson_interval(successes, trials)
    more_low, more_high = wilson_interval(successes * times, trials * times)
    assert more_high - more_low < high - low


@given(proportions)
def test_one_more_click_raises_both_ends(counts):
    successes, trials = counts
    if successes < trials:
        low, high = wilson_interval(successes, trials)
        more_low, more_high = wilson_interval(successes + 1, trials)
        assert more_low > low
        assert more_high > high or high == 1.0


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 5), (6, 5)])
def test_what_is_no_proportion_is_refused(successes, trials):
    with pytest.raises(ValueError, match="not a proportion"):
        wilson_interval(successes, trials)


def test_shoppers_with_one_impression_each_and_shoppers_without_clicks_have_wilsons_interval():
    ones = np.ones(80)
    found = proportion(ClusterSums.of(np.arange(80) < 8, ones))
    assert (found.value, found.low, found.high, found.n) == (0.1, *wilson_interval(8, 80), 80)
    nothing = proportion(ClusterSums.of(np.zeros(4), np.full(4, 20.0)))
    assert (nothing.low, nothing.high) == wilson_interval(0, 80)


def test_one_shopper_counts_as_about_one_trial():
    found = proportion(ClusterSums.of([30], [100]))
    assert (found.value, found.n) == (0.3, 100)
    assert (found.low, found.high) == wilson_interval(0.3, 1)
    assert found.high - found.low > 0.7


def test_the_delta_method_by_hand():
    """The error is sqrt(Σ (y - r x)² · n / (n - 1)) / Σ x."""
    y, x = np.array([1, 2, 4, 0.0]), np.array([10, 10, 20, 10.0])
    rate = 7 / 50
    error = np.sqrt(np.sum((y - rate * x) ** 2) * 4 / 3) / 50
    found = mean_ratio(ClusterSums.of(y, x))
    assert (found.value, found.n) == (rate, 50)
    assert (found.low, found.high) == pytest.approx((rate - 1.959964 * error, rate + 1.959964 * error))
    clicking = 7**2 / (1 + 4 + 16)  # shoppers with clicks, as their clicks are spread
    trials = min(rate * (1 - rate) / error**2 * (1.959964 / student_z(clicking - 1)) ** 2, 50)
    bounded = proportion(ClusterSums.of(y, x))
    assert (bounded.low, bounded.high) == pytest.approx(wilson_interval(rate * trials, trials))


@pytest.mark.parametrize(("freedom", "error"), [(0.5, 0.25), (1, 0.25), (3, 0.01), (10, 1e-3), (1e6, 1e-6)])
def test_students_t_is_close_to_the_true_one(freedom, error):
    assert student_z(freedom) == pytest.approx(stats.t.ppf(0.975, max(freedom, 1)), rel=error)


@given(st.lists(st.integers(1, 40).flatmap(lambda x: st.tuples(st.integers(0, x), st.just(x))), min_size=1))
def test_every_interval_holds_its_rate_and_stays_within_0_and_1(shoppers):
    found = proportion(ClusterSums.of(*zip(*shoppers, strict=True)))
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_without_data_there_is_nothing_and_with_one_shopper_no_error():
    assert proportion(ClusterSums()) == mean_ratio(ClusterSums()) == Rate.nothing()
    assert difference_of_means(ClusterSums(), ClusterSums.of([1], [2])) == Rate.nothing()
    assert difference(ClusterSums(), ClusterSums.of([1], [2])) == Rate.nothing()
    assert mean_ratio(ClusterSums.of([3], [2])) == Rate(1.5, None, None, 2)
    assert difference_of_means(ClusterSums.of([3], [2]), ClusterSums.of([1], [2])) == Rate(1.0, None, None, 2)


def crowd(rng, shoppers, rate, spread):
    """Clicks and impressions [shoppers]: each shopper has a taste of their own, and some look at far more."""
    x = rng.geometric(1 / 20, shoppers).astype(float)
    taste = rng.beta(rate * spread, (1 - rate) * spread, shoppers)
    return ClusterSums.of(rng.binomial(x.astype(int), taste).astype(float), x)


@pytest.mark.parametrize("shoppers", [30, 300])
def test_the_interval_holds_the_truth_where_shoppers_differ(shoppers):
    """200 crowds: 95 % ± 4 % hold it. Wilson's interval of the impressions alone misses a third and more."""
    rng = np.random.default_rng(7)
    held = naive = differences = means = 0
    for _ in range(200):
        sums, other = crowd(rng, shoppers, 0.05, 5), crowd(rng, shoppers, 0.05, 5)
        found = proportion(sums)
        held += found.low <= 0.05 <= found.high
        low, high = wilson_interval(sums.top, sums.bottom)
        naive += low <= 0.05 <= high
        apart = difference(sums, other)
        differences += apart.low <= 0 <= apart.high
        apart = difference_of_means(sums, other)
        means += apart.low <= 0 <= apart.high
    assert 182 <= held <= 198
    assert 182 <= differences <= 199
    assert 168 <= means <= 199
    assert naive < 160


def test_the_difference_of_shares_by_newcombes_example():
    """56 of 70 against 48 of 80: 0.0524 to 0.3339 (Newcombe 1998, table II, method 10)."""
    one, other = (ClusterSums.of(np.arange(n) < y, np.ones(n)) for y, n in ((56, 70), (48, 80)))
    found = difference(one, other)
    assert (found.value, found.low, found.high, found.n) == pytest.approx((0.2, 0.0524, 0.3339, 70), abs=5e-5)
