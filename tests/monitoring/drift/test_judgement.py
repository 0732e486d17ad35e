"""Judgement: what is compared, what lacks data and says so, and how seldom an alarm may be false."""

import numpy as np
import pytest

from monitoring.drift.columns import Column
from monitoring.drift.judgement import (
    MIN_SHOPPER_DAYS,
    MIN_VALUES,
    MIN_WINDOWS,
    candidates,
    false_alarm_probability,
)
from monitoring.drift.references import comparison
from monitoring.drift.resampling import Null
from monitoring.drift.traffic import Observed

DAY_MS = 86_400_000
END = 20_000 * DAY_MS
(TRAILING,) = comparison(END, 86_400, 28 * 86_400, trained_at=None).references


def observed(shoppers_by_day, *, each=10):
    """Rows of a shop: `shoppers_by_day[k]` shoppers k days before the current window, the current one first."""
    times, shoppers = [], []
    for day in reversed(range(len(shoppers_by_day))):
        for shopper in range(shoppers_by_day[day]):
            times += [END - (day + 1) * DAY_MS + row for row in range(each)]
            shoppers += [shopper] * each
    order = np.argsort(times, kind="stable")
    return Observed(
        times=np.array(times)[order],
        shoppers=np.array(shoppers)[order],
        first_current=len(times) - shoppers_by_day[0] * each,
        end=END,
        share=1.0,
    )


def judged(rows, numbers=None, *, falls=False):
    numbers = np.random.default_rng(1).integers(0, 2, len(rows)).astype(float) if numbers is None else numbers
    column = Column("colour", numbers, ("no", "yes"), falls=falls)
    return candidates(rows, TRAILING, [column], rng=np.random.default_rng(2))[0]


def test_four_weeks_are_compared_with_the_same_days_of_the_week():
    rows = observed([40] * 29)
    found = judged(rows)
    assert found.skipped is None
    assert found.null is not None
    assert found.sizes == (4 * 400, 400)


def test_a_young_shop_is_compared_with_all_its_days():
    found = judged(observed([40] * 10))
    assert found.null is not None
    assert found.sizes == (9 * 400, 400)


def test_a_closed_day_is_left_out():
    found = judged(observed([40, *([40] * 6), 0, *([40] * 21)]))
    assert found.null is not None
    assert found.sizes == (3 * 400, 400)


@pytest.mark.parametrize(
    ("shoppers", "each", "reason"),
    [
        ([MIN_SHOPPER_DAYS - 1, *[40] * 28], 10, "shoppers' days"),
        ([40] * MIN_WINDOWS, 10, f"{MIN_WINDOWS} needed"),
        ([40] * 29, MIN_VALUES // 40 - 1, f"{MIN_VALUES} needed"),
        ([40], 10, "shoppers' days"),
        ([0], 10, "shoppers' days"),
    ],
)
def test_too_little_data_is_said(shoppers, each, reason):
    found = judged(observed(shoppers, each=each))
    assert found.null is None
    assert reason in found.skipped


def test_a_column_without_values_is_left_out_and_the_others_are_not():
    rows = observed([40] * 29)
    empty, full = Column("price", np.full(len(rows), np.nan)), Column("size", np.ones(len(rows)))
    found = candidates(rows, TRAILING, [empty, full], rng=np.random.default_rng(3))
    assert [one.null is None for one in found] == [True, False]


def test_a_column_that_may_only_fall_does_not_drift_upwards():
    rows = observed([40] * 29)
    numbers = np.random.default_rng(4).integers(0, 2, len(rows)).astype(float)
    for value, drifts in ((0.0, True), (1.0, False)):
        numbers[rows.current] = value
        found = judged(rows, numbers.copy(), falls=True)
        assert found.drifted(found.score(), 0.001) is drifts
    assert judged(rows, numbers).drifted(found.score(), 0.001)


def test_only_a_score_above_the_threshold_is_a_drift():
    rows = observed([40] * 29)
    found = judged(rows)
    limit = found.null.threshold(0.01)
    assert not found.drifted(limit, 0.01)
    assert found.drifted(limit * 1.01, 0.01)
    assert isinstance(found.null, Null)


def test_the_probability_is_divided_by_columns_and_looks():
    hourly = false_alarm_probability(8, quiet_days=30, interval_seconds=3600)
    assert hourly == pytest.approx(1 / (30 * 24 * 8))
    assert false_alarm_probability(8, quiet_days=30, interval_seconds=1) == hourly  # windows that hardly move
    assert false_alarm_probability(8, quiet_days=30, interval_seconds=7 * 86_400) == pytest.approx(1 / (30 * 8))
