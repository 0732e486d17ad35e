"""A whole report: a quiet shop is stable, and each change of its last day is a drift in the column that shows it."""

import warnings
from pathlib import Path

import pytest
from sqlalchemy import text

from graphstore.session import read
from graphstore.tables import EVENT_TYPES
from monitoring.drift.item_map import ChampionMap
from monitoring.drift.judgement import false_alarm_probability
from tests.monitoring.drift.conftest import DAY_MS, END, Weeks

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Evidently and what it imports use parts of other libraries that will go
    from monitoring.drift.assessment import assess, gather

VIEW = EVENT_TYPES.index("view")


def assessed(weeks: Weeks, reports_dir: Path | None = None, *, trained_at: int | None = None):
    with read(weeks.engine) as connection:
        return assess(
            connection,
            weeks.windows(trained_at=trained_at),
            quiet_days=30,
            interval_seconds=3600,
            reports_dir=reports_dir,
            champion=ChampionMap(),
        )


@pytest.mark.slow
def test_a_quiet_shop_is_stable_and_its_reports_are_written(weeks, tmp_path):
    weeks.trade()
    result = assessed(weeks, tmp_path)
    assert (result.verdict, result.drifted, result.share) == ("stable", [], 0.0)
    columns = {"event_type", "time_of_day", "top_item", "category", "item_popularity", "price_paid", "price_change"}
    assert set(result.scores) == columns | {"activity", "list_clicked"} == set(result.thresholds)
    assert all(0 <= row.score <= row.threshold and row.n_current >= 40 for row in result.columns)
    assert result.skipped == {"embedding": "there is no champion yet"}
    assert (result.report_html is not None, result.ranking_html is not None) == (True, True)
    names = {path.name for path in tmp_path.iterdir()}
    assert {Path(result.report_html).name, Path(result.ranking_html).name, "workspace"} <= names
    assert len(list((tmp_path / "workspace").rglob("snapshots/*.json"))) == 2


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"event_type": VIEW}, "event_type"),
        ({"item_key": text("61 - item_key")}, "item_popularity"),
        ({"item_key": text("item_key + 60")}, "item_popularity"),
        ({"value": text("value * 2")}, "price_change"),
        (None, "list_clicked"),
    ],
    ids=["nothing but views", "reversed popularity", "new items", "dearer", "no clicks"],
)
def test_a_change_of_the_last_day_is_a_drift_in_the_column_that_shows_it(weeks, change, column):
    weeks.trade()
    if change:
        weeks.change_last_day(**change)
    else:
        weeks.forget_clicks_of_last_day()
    with read(weeks.engine) as connection:
        (gathered,), _ = gather(connection, weeks.windows(), ChampionMap())
    probability = false_alarm_probability(len(gathered.usable), quiet_days=30, interval_seconds=3600)
    assert column in [one.label for one in gathered.usable if one.drifted(one.score(), probability)]


@pytest.mark.slow
def test_one_drifted_column_makes_the_verdict(weeks):
    weeks.trade()
    weeks.forget_clicks_of_last_day()
    result = assessed(weeks)
    assert (result.verdict, result.drifted, result.report_html) == ("drift", ["list_clicked"], None)
    assert "1 of 9 columns drifted: list_clicked" in result.reason
    assert [row.column for row in result.columns if row.p < 1e-6] == ["list_clicked"]


@pytest.mark.slow
def test_an_old_training_is_compared_too(weeks, tmp_path):
    weeks.trade(60)
    result = assessed(weeks, tmp_path, trained_at=END - 20 * DAY_MS)
    assert {row.reference for row in result.columns} == {"trailing", "training"}
    assert "price_paid since training" in result.scores
    assert Path(result.training_html).name.endswith("-training.html")


def test_too_little_data_is_said_and_nothing_is_written(weeks, tmp_path):
    weeks.trade(3)
    result = assessed(weeks, tmp_path / "reports")
    assert (result.verdict, result.share, result.columns, result.report_html) == ("insufficient", None, [], None)
    assert "not enough data" in result.reason
    assert "needed" in result.reason
    assert not (tmp_path / "reports").exists()
