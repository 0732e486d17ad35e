"""Our index of many resamples is Evidently's index of one pair of columns."""

import warnings

import numpy as np
import pandas as pd
import pytest

from monitoring.drift.psi import FEW_VALUES, number_bins, psi

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Evidently reaches for numpy.core while it is imported
    from evidently.legacy.calculations.stattests.psi import psi_stat_test
    from evidently.legacy.core import ColumnType

RNG = np.random.default_rng(1)
PAIRS = {
    "few values": (RNG.integers(0, 6, 900), RNG.integers(1, 7, 300)),
    "just few enough": (RNG.permutation(np.arange(900) % FEW_VALUES), RNG.integers(0, 40, 300)),
    "just too many": (RNG.permutation(np.arange(900) % (FEW_VALUES + 1)), RNG.integers(0, 40, 300)),
    "a smooth column": (RNG.normal(0, 1, 5000), RNG.normal(0.2, 1.1, 1500)),
    "a long tail": (RNG.lognormal(0, 2, 20_000), RNG.lognormal(0, 2, 2000)),
    "rare values": (np.r_[np.zeros(30_000), 1.0], np.r_[np.zeros(500), np.full(3, 2.0)]),
    "constant": (np.zeros(300), np.zeros(300)),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_the_index_equals_evidentlys(pair):
    reference, current = (side.astype(float) for side in pair)
    theirs = psi_stat_test(pd.Series(reference), pd.Series(current), ColumnType.Numerical, 0.1)
    bins = number_bins(reference, current)
    counts = [np.bincount(bins.of(side), minlength=len(bins)).astype(float) for side in (reference, current)]
    assert float(psi(*counts)) == pytest.approx(theirs.drift_score, rel=1e-9, abs=1e-12)


def test_a_number_beyond_the_ends_falls_into_the_nearest_bin():
    bins = number_bins(np.arange(100.0), np.arange(100.0))
    assert bins.of(np.array([-5.0, 500.0])).tolist() == [0, len(bins) - 1]


def test_many_resamples_are_scored_at_once():
    sides = RNG.integers(1, 50, (2, 7, 4)).astype(float)
    assert psi(*sides).tolist() == pytest.approx([float(psi(sides[0][k], sides[1][k])) for k in range(7)])
    assert np.isnan(psi(np.zeros(3), np.ones(3)))
