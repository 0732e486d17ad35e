"""The drift verdict on traffic whose answer is known."""

import warnings

import pytest

from graphstore.session import read
from monitoring.ctr import CtrFigure
from monitoring.traffic import CATEGORICAL, NUMERICAL, Traffic, read_traffic
from monitoring.windows import TimeWindow

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Evidently reaches for numpy.core while it is imported
    from monitoring.drift import measure_drift

DAY_MS = 86_400_000
LIMITS = {"psi": 0.2, "share": 0.3, "min_rows": 200}
COLUMNS = (*CATEGORICAL, *NUMERICAL)


def two_days(shop, *, shifted):
    start = shop.now // DAY_MS * DAY_MS
    shop.trade(start, start + DAY_MS, 1500, seed=1)
    shop.trade(start + DAY_MS, start + 2 * DAY_MS, 700, seed=2, shifted=shifted)
    with read(shop.engine) as connection:
        return read_traffic(
            connection,
            TimeWindow(start, start + DAY_MS),
            TimeWindow(start + DAY_MS, start + 2 * DAY_MS),
            sample_rows=10_000,
        )


def test_two_days_of_the_same_trade_are_stable(sqlite_shop):
    reference, current = two_days(sqlite_shop, shifted=False)
    result, snapshot = measure_drift(reference, current, **LIMITS)
    assert (result.verdict, result.share, result.drifted) == ("stable", 0.0, [])
    assert set(result.scores) == set(COLUMNS)
    assert (result.reference_events, result.current_events) == (1500, 700)
    assert result.skipped == {}
    assert snapshot is not None


def test_a_shifted_day_drifts_in_the_columns_that_were_shifted(sqlite_shop):
    reference, current = two_days(sqlite_shop, shifted=True)
    result, _ = measure_drift(reference, current, **LIMITS)
    assert result.verdict == "drift"
    shifted = {"event_type", "time_of_day", "top_item", "category", "price", "item_popularity"}
    assert set(result.drifted) == shifted  # everybody still comes once: activity stays
    assert result.share == pytest.approx(6 / 7)
    assert "event_type" in result.reason


def test_the_thresholds_decide(sqlite_shop):
    reference, current = two_days(sqlite_shop, shifted=True)
    patient, _ = measure_drift(reference, current, **(LIMITS | {"share": 0.9}))
    assert patient.verdict == "stable"
    blind, _ = measure_drift(reference, current, **(LIMITS | {"psi": 1000.0}))
    assert (blind.verdict, blind.share) == ("stable", 0.0)


def made(rows, **columns):
    values = {"event_type": "view", "time_of_day": "12 h", "top_item": "apple", "category": "fruit"}
    numbers = dict.fromkeys(NUMERICAL, 1.0)
    return Traffic(TimeWindow(0, 1), rows, {c: [columns.get(c, (values | numbers)[c])] * rows for c in COLUMNS})


@pytest.mark.parametrize(("reference", "current"), [(0, 0), (1000, 0), (0, 1000), (1000, 199)])
def test_too_few_events_give_no_verdict_and_say_so(reference, current):
    result, snapshot = measure_drift(made(reference), made(current), **LIMITS)
    assert (result.verdict, result.share, snapshot) == ("insufficient", None, None)
    assert "not enough data" in result.reason


def test_a_column_without_values_is_skipped_and_the_others_are_tested():
    result, _ = measure_drift(made(500), made(500, price=None), **LIMITS)
    assert result.verdict == "stable"
    assert list(result.skipped) == ["price"]
    assert set(result.scores) == set(COLUMNS) - {"price"}


def test_the_report_shows_the_click_through_rate(sqlite_shop):
    rates = (CtrFigure.of(1000, 100), CtrFigure.of(400, 30))
    _, snapshot = measure_drift(made(500), made(500), **LIMITS, rates=rates)
    rate = [m["value"] for m in snapshot.dict()["metrics"] if "ClickThroughRate" in m["config"]["type"]]
    assert rate == [0.075]
    assert "7.50%" in snapshot.get_html_str(as_iframe=False)
    _, snapshot = measure_drift(made(500), made(500), **LIMITS, rates=(rates[0], CtrFigure.of(0, 0)))
    assert not [m for m in snapshot.dict()["metrics"] if "ClickThroughRate" in m["config"]["type"]]
