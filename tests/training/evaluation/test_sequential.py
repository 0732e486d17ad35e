"""Sequential tests: false alarms stay rare under repeated looks, and true differences are found."""

import json
from dataclasses import asdict
from math import exp, inf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation.sequential import (
    STAKES,
    ClusterSums,
    Estimate,
    Wager,
    always_valid,
    p_value,
    ratio_difference,
)

LOOKS = 40


def sparse_differences(rng: np.random.Generator, users: int, mean: float) -> np.ndarray:
    """Like NDCG: most users have no difference, some a large one."""
    touched = rng.random(users) < 0.2
    values = np.where(touched, rng.choice([-0.6, -0.2, 0.2, 0.6], users), 0.0)
    return (values + mean).clip(-1, 1)


def shown_within(looks: int, *, mean: float, users: int, seed: int, later: bool = True) -> bool:
    rng, wager = np.random.default_rng(seed), Wager(later=later)
    for _ in range(looks):
        wager = wager.add(sparse_differences(rng, users, mean))
        if wager.shows(0.05):
            return True
    return False


@pytest.mark.parametrize(("users", "later"), [(30, True), (30, False), (300, True)])
def test_no_difference_is_rarely_shown_in_many_looks(users, later):
    alarms = sum(shown_within(LOOKS, mean=0.0, users=users, seed=seed, later=later) for seed in range(300))
    assert alarms <= 15  # 5 %


def test_a_small_difference_is_shown_after_some_windows():
    found = [shown_within(5, mean=0.012, users=3000, seed=seed) for seed in range(40)]
    assert np.mean(found) > 0.9


def test_a_loss_after_a_gain_is_shown():
    rng, whole, late = np.random.default_rng(0), Wager(later=False), Wager()
    for mean in (-0.03, -0.03, -0.03, 0.02, 0.02, 0.02):
        window = sparse_differences(rng, 3000, mean)
        whole, late = whole.add(window), late.add(window)
    assert late.shows(0.05)
    assert not whole.shows(0.05)


@given(st.floats(-1, 1), st.booleans())
def test_the_mean_wealth_never_grows_under_the_null(value, later):
    """A user's difference is d or -d with the same probability: no gambler gains in the mean."""
    before = Wager(later=later).add(np.array([0.3, -0.2]))
    after = [before.add(np.array([sign * value])) for sign in (1, -1)]
    mean = np.mean([exp(wager.log_e_value) for wager in after])
    assert mean <= exp(before.log_e_value) * (1 + 1e-9)


@given(st.permutations(range(12)))
def test_the_order_of_the_users_has_no_effect(order):
    values = np.linspace(-0.5, 0.7, 12)
    assert Wager().add(values[list(order)]).log_e_value == pytest.approx(Wager().add(values).log_e_value)


def test_an_empty_window_and_no_window_are_no_evidence():
    assert Wager().log_e_value == pytest.approx(0.0)
    assert Wager().add(np.empty(0)).log_e_value == pytest.approx(0.0)
    assert not Wager().shows(0.05)


def test_a_wager_survives_json():
    wager = Wager().add(np.array([0.5, -0.1, 0.2]))
    again = Wager.from_json(json.loads(json.dumps(wager.to_json())))
    assert again == wager
    assert Wager.from_json(json.loads(json.dumps(Wager().to_json()))) == Wager()
    with pytest.raises(ValueError, match="stakes"):
        Wager.from_json({"log_wealth": [0.0] * (len(STAKES) + 1), "windows": 1, "later": True})


@pytest.mark.parametrize("value", [float("nan"), inf, -inf])
def test_values_that_are_not_finite_are_refused(value):
    with pytest.raises(ValueError, match="finite"):
        Wager().add(np.array([0.0, value]))


def looks_at_two_arms(seed: int, *, rates: tuple[float, float], shoppers: tuple[int, int], days: int = 25):
    """Shoppers with a click rate of their own come back day after day; yields the sums of both arms at each look."""
    rng = np.random.default_rng(seed)
    own = [rng.beta(2 * rate, 2 * (1 - rate), size) for rate, size in zip(rates, shoppers, strict=True)]
    visits = [rng.gamma(0.5, 1.0, size) for size in shoppers]
    clicks, shown = ([np.zeros(size) for size in shoppers] for _ in range(2))
    for _ in range(days):
        for arm in (0, 1):
            new = rng.poisson(visits[arm])
            shown[arm] += new
            clicks[arm] += rng.binomial(new, own[arm])
        yield tuple(ClusterSums.of(clicks[arm][shown[arm] > 0], shown[arm][shown[arm] > 0]) for arm in (0, 1))


@pytest.mark.parametrize(("shoppers", "rate"), [((600, 60), 0.05), ((60, 60), 0.1), ((200, 20), 0.03)])
def test_the_interval_covers_the_truth_at_every_look(shoppers, rate):
    missed = 0
    for seed in range(150):
        looks = looks_at_two_arms(seed, rates=(rate * 1.3, rate), shoppers=shoppers)
        # The true difference of the shoppers at hand varies; the arms are drawn from beta laws with these means.
        intervals = [always_valid(ratio_difference(*arms), alpha=0.05, expected=rate / 2) for arms in looks]
        missed += any(not interval.low <= 0.3 * rate <= interval.high for interval in intervals)
    assert missed <= 7  # 5 %


def test_a_true_difference_of_two_arms_is_shown():
    shown = 0
    for seed in range(20):
        looks = looks_at_two_arms(seed, rates=(0.1, 0.05), shoppers=(3000, 3000))
        shown += any(always_valid(ratio_difference(*arms), alpha=0.05, expected=0.02).low > 0 for arms in looks)
    assert shown >= 18


@given(st.floats(-5, 5), st.floats(0.01, 3), st.floats(0.05, 5), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_interval_and_the_e_value_say_the_same(value, error, expected, alpha):
    interval = always_valid(Estimate(value, error), alpha=alpha, expected=expected)
    outside = not interval.low <= 0 <= interval.high
    if abs(interval.log_e_value + log(alpha)) > 1e-6:
        assert outside == (p_value(interval.log_e_value) < alpha)


def test_what_is_not_known_has_no_bounds():
    clicked = ClusterSums.of([1, 0, 3], [10, 5, 20])
    for other in (ClusterSums(), ClusterSums.of([1], [4]), ClusterSums.of([], [])):
        interval = always_valid(ratio_difference(clicked, other), alpha=0.05, expected=0.1)
        assert (interval.low, interval.high, interval.log_e_value) == (-inf, inf, 0.0)
    silent = ClusterSums.of([0, 0, 0], [10, 5, 20])
    assert always_valid(ratio_difference(silent, silent), alpha=0.05, expected=0.1).low == -inf
    assert always_valid(ratio_difference(clicked, silent), alpha=0.05, expected=0.1).high < inf


def test_sums_of_shoppers_add_up_and_the_ratio_is_that_of_all():
    clicks, shown = np.array([1.0, 0.0, 4.0, 2.0]), np.array([10.0, 5.0, 20.0, 30.0])
    whole = ClusterSums.of(clicks, shown)
    assert ClusterSums.of(clicks[:1], shown[:1]) + ClusterSums.of(clicks[1:], shown[1:]) == whole
    assert ClusterSums(**json.loads(json.dumps(asdict(whole)))) == whole
    estimate = whole.ratio()
    assert estimate.value == pytest.approx(7 / 65)
    residuals = clicks - 7 / 65 * shown
    assert estimate.standard_error == pytest.approx(np.sqrt((residuals**2).sum() * 4 / 3) / 65)
