"""Intervals: what they promise, and how often they hold the truth when shoppers differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.intervals import wilson_interval

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
