"""The figures of a walk: what counts as whole, and what the JSON holds."""

from pathlib import Path

from redis import Redis
from rich.console import Console
from sqlalchemy import Engine, insert

from graphstore.session import read, write
from graphstore.tables import metric_windows, training_runs
from sagestream.playground import outcome
from sagestream.playground.outcome import EventCounts, Outcome
from sagestream.playground.shoppers import Change
from serving import cache

KEYS = {
    "seconds",
    "first_list_seconds",
    "graphsage_seconds",
    "peak_pss_mb",
    "quiet_pss_mb",
    "peak_rss_mb",
    "broker",
    "events",
    "graph",
    "baselines",
    "models",
    "freshness_ms",
    "ctr",
    "drift",
    "retrain",
    "stages",
}


def whole() -> Outcome:
    return Outcome(
        broker="tansu",
        first_list_seconds=1.0,
        graphsage_seconds=2.0,
        events=EventCounts(produced=3, stored=1, duplicate=1, dead=1),
        baselines={"recent_popularity": {"ndcg@20": 0.1, "recall@20": 0.1}},
        models=[{"kind": "graphsage"}],
        freshness={"p50": 1.0, "p99": 2.0, "samples": 3},
        ctr={"value": 0.1},
        drift={"report_html": "x.html"},
        retrain={"trigger": "400 new events", "outcome": "kept"},
    )


def test_the_json_has_the_keys_of_the_contract() -> None:
    assert set(whole().as_json()) == KEYS
    assert whole().as_json()["events"] == {"produced": 3, "stored": 1, "duplicate": 1, "dead": 1}


def test_what_is_missing_is_named() -> None:
    assert whole().missing() == []
    lost = whole()
    lost.events.stored = 0
    lost.retrain = {"trigger": "x", "outcome": "failed"}
    assert lost.missing() == ["every event accounted for", "an incremental retrain with its verdict"]
    assert len(Outcome().missing()) == 7


def test_freshness_is_read_from_what_near_line_measured(redis: Redis) -> None:
    assert outcome.freshness(redis) == {"p50": None, "p99": None, "samples": 0}
    redis.lpush(cache.FRESHNESS, *range(1, 102))
    assert outcome.freshness(redis) == {"p50": 51.0, "p99": 100.0, "samples": 101}


def test_the_newest_finished_retrain_is_told(engine: Engine) -> None:
    with read(engine) as connection:
        assert outcome.newest_retrain(connection, since=0) is None
    rows = [("r1", 10, "kept"), ("r2", 20, "promoted"), ("r3", 30, "running")]
    with write(engine) as connection:
        for run_id, started, status in rows:
            connection.execute(
                insert(training_runs).values(
                    run_id=run_id, kind="incremental", trigger=f"by {run_id}", status=status, started_at=started
                )
            )
    with read(engine) as connection:
        assert outcome.newest_retrain(connection, since=5) == {"trigger": "by r2", "outcome": "promoted"}
        assert outcome.newest_retrain(connection, since=25) == {"trigger": "by r3", "outcome": "running"}


def test_the_newest_drift_report_is_told(engine: Engine) -> None:
    with write(engine) as connection:
        for end, share in ((10, 0.1), (20, 0.5)):
            detail = '{"verdict": "drift", "reason": "one column", "report_html": "r.html"}'
            window = {"window_start": 0, "window_end": end}
            connection.execute(
                insert(metric_windows).values(metric="drift", segment="all", value=share, detail=detail, **window)
            )
    with read(engine) as connection:
        found = outcome.newest_drift(connection, since=0)
        assert found == {"verdict": "drift", "reason": "one column", "share": 0.5, "report_html": "r.html"}
        assert outcome.newest_drift(connection, since=21) is None


def test_tables_show_what_they_are_given(tmp_path: Path) -> None:
    console = Console(record=True, width=120, file=(tmp_path / "out").open("w"))
    metrics = {"ndcg@20": 0.25, "recall@20": 0.5}
    console.print(outcome.comparison_table("t", {"recent_popularity": metrics, "graphsage": metrics}, ["graphsage"]))
    console.print(outcome.change_table(Change("u", "Tea", ["a", "b"], ["c", "a"], 12.3)))
    text = console.export_text()
    console.file.close()
    assert "recent popularity" in text
    assert "0.2500" in text
    assert "12 ms" in text
