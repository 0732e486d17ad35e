"""Evidently's part: its scores are ours, its report shows clicks and lists, and opens without a network."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from monitoring.counts import Counts
from monitoring.drift.columns import Column
from monitoring.drift.judgement import Candidate
from monitoring.drift.lists import Ranked
from monitoring.drift.resampling import Null

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Evidently reaches for numpy.core while it is imported
    from monitoring.drift.evidently_report import MIN_CLICKED, rank_lists, score_columns
    from monitoring.drift.own_metrics import MOST

AT = 1_700_000_000_000
QUIET = Null(0.01, 0.0001, 28)
PROBABILITY = 0.001


def candidates():
    """Events (900 and 300 rows) with missing prices, and lists (80 and 40 rows)."""
    rng = np.random.default_rng(1)
    price = (rng.normal(3, 1, 900), rng.normal(4, 1, 300))
    price[0][::3] = np.nan
    price[1][::5] = np.nan
    sides = {
        Column("event_type", np.empty(0), ("view", "click", "buy")): (
            rng.choice(3, 900, p=[0.7, 0.3, 0]),
            rng.choice(3, 300),
        ),
        Column("price", np.empty(0)): price,
        Column("list_clicked", np.empty(0), ("no", "yes")): (rng.integers(0, 2, 80), np.zeros(40)),
    }
    return [
        Candidate(column, "training", before.astype(float), now.astype(float), QUIET)
        for column, (before, now) in sides.items()
    ]


def scored(**shown):
    return score_columns(candidates(), PROBABILITY, at=AT, **shown)


def values(snapshot, kind):
    return [m["value"] for m in snapshot.dict()["metrics"] if m["config"]["type"].endswith(f":{kind}")]


Column.__hash__ = object.__hash__  # arrays have no hash


def test_evidentlys_scores_are_ours_also_where_values_are_missing():
    scores, _ = scored()
    for one in candidates():
        assert scores[one.label] == pytest.approx(one.score(), rel=1e-9)
    assert set(scores) == {"event_type since training", "price since training", "list_clicked since training"}


def test_each_column_has_its_own_threshold():
    found = candidates()
    found[1] = replace(found[1], null=Null(100.0, 1.0, 28))
    _, snapshot = score_columns(found, PROBABILITY, at=AT)
    assert values(snapshot, "DriftedColumnsCount")[0]["count"] == 2


def test_the_report_shows_clicks_and_the_scores_of_lists():
    clicks = Counts(impressions=400, clicks=30, cluster={"n": 300, "xx": 600, "yy": 30, "xy": 40, **NOTHING})
    _, snapshot = scored(clicks=(clicks, 0.1), list_scores=(np.full(80, 2.0), np.full(40, 3.0)))
    assert values(snapshot, "ClickThroughRate") == [pytest.approx(0.075)]
    assert values(snapshot, "MeanValue") == [3.0]
    html = snapshot.get_html_str(as_iframe=False)
    assert "7.50%" in html
    assert 'src="http' not in html
    _, without = scored(clicks=(Counts(), None))
    assert values(without, "ClickThroughRate") == []


NOTHING = dict.fromkeys(("cc", "xc", "pp", "xp"), 0)


def test_the_course_of_a_column_is_its_score_in_multiples_of_its_threshold():
    scores, snapshot = scored()
    price = [
        m for m in snapshot.dict()["metrics"] if m["config"]["type"].endswith(":ShareOfLimit") and "price" in str(m)
    ]
    assert price[0]["value"] == pytest.approx(min(scores["price since training"] / QUIET.threshold(PROBABILITY), MOST))
    assert set(price[0]["config"]) <= {"type", "column", "tests"}  # no figure: a panel draws one line for each column


def ranked(clicked):
    return [Ranked(f"r{n}", f"i{k}", 1.0 - k / 10, int(n < clicked and k == 1)) for n in range(40) for k in range(5)]


def test_the_ranking_report_needs_clicks_on_both_sides():
    assert rank_lists(ranked(MIN_CLICKED), ranked(MIN_CLICKED - 1), at=AT) is None
    snapshot = rank_lists(ranked(MIN_CLICKED), ranked(MIN_CLICKED + 5), at=AT)
    hits = values(snapshot, "HitRate")[0]
    assert hits is not None
    assert "HitRate@k" in snapshot.get_html_str(as_iframe=False)
