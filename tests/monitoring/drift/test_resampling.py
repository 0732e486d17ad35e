"""Resampling: a quiet shop stays below its thresholds, and whatever makes its days differ raises them."""

import numpy as np
import pytest

from monitoring.drift.psi import psi
from monitoring.drift.resampling import Shape, block_counts, nulls_of

BINS = 5


def days(rng, number, *, shoppers=60, basket=1, wobble=0.0):
    """Counts [shoppers, BINS] of each day. A shopper takes a basket of one kind; `wobble` moves the shares by day."""
    found = []
    for _ in range(number):
        shares = rng.dirichlet(np.full(BINS, 1 / wobble)) if wobble else np.full(BINS, 1 / BINS)
        kinds = rng.choice(BINS, shoppers, p=shares)
        counts = np.zeros((shoppers, BINS), dtype=np.float32)
        counts[np.arange(shoppers), kinds] = basket
        found.append(counts)
    return found


def null(windows, seed=0, groups=None, draws=10):
    size = len(windows[0])
    shape = Shape(
        groups or [k % 7 for k in range(len(windows))], [size] * len(windows), (3 * size, size), [slice(0, BINS)]
    )
    return nulls_of(windows, shape, rng=np.random.default_rng(seed), draws=draws)[0]


def test_a_quiet_shop_exceeds_its_threshold_as_seldom_as_it_says():
    rng = np.random.default_rng(3)
    alarms = 0
    for trial in range(100):
        windows = days(rng, 29)
        now = windows.pop().sum(axis=0)
        before = np.sum([windows[k] for k in (7, 14, 21)], axis=(0, 1))
        alarms += float(psi(before, now)) > null(windows, trial).threshold(0.05)
    assert alarms <= 0.05 * 100 * 2


def test_a_third_of_all_shoppers_with_another_taste_is_found():
    rng = np.random.default_rng(4)
    windows = days(rng, 28, shoppers=250)
    now = windows[0].sum(axis=0)
    now = now * 2 / 3
    now[0] += 80
    quiet = null(windows)
    score = float(psi(np.sum([windows[k].sum(axis=0) for k in (7, 14, 21)], axis=0), now))
    assert score > quiet.threshold(1e-4)
    assert quiet.p_value(score) < 1e-4


def test_baskets_are_one_observation_not_ten():
    """The same shoppers buy ten pieces each: ten times the rows, and nothing more is known."""
    rng = np.random.default_rng(5)
    once = days(rng, 28)
    tenfold = [10 * counts for counts in once]
    assert null(tenfold).threshold(0.01) == pytest.approx(null(once).threshold(0.01), rel=0.01)


def test_days_that_differ_raise_the_threshold():
    calm = null(days(np.random.default_rng(6), 28))
    wild = null(days(np.random.default_rng(6), 28, wobble=0.3))
    assert wild.threshold(0.01) > 2 * calm.threshold(0.01)


def test_a_constant_column_drifts_from_the_smallest_score_on():
    windows = [np.tile(np.array([[1.0, 0, 0, 0, 0]], dtype=np.float32), (40, 1)) for _ in range(14)]
    quiet = null(windows)
    assert quiet.p_value(0.0) == 1.0
    assert quiet.p_value(0.5) == 0.0
    assert 0 < quiet.threshold(0.01) < 0.01


def test_without_a_second_window_of_a_group_nothing_is_known():
    assert null(days(np.random.default_rng(7), 7), groups=list(range(7))) is None


def test_blocks_have_a_row_for_each_shopper_and_columns_beside_each_other():
    counts = block_counts(np.array([9, 4, 9]), [np.array([0, 1, 0]), np.array([2, -1, 1])], [2, 3])
    assert counts.tolist() == [[0, 1, 0, 0, 0], [2, 0, 0, 1, 1]]
