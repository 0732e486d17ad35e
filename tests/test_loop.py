"""The whole loop on real parts: event → list → click → CTR → retrain → promotion.

A toy shop whose right answer is known: two circles of shoppers, each with its own shelf. In the kept future everybody
turns to a new shelf that no model has seen, so a retrained model must beat the champion and take its place.
"""

import csv
import io
import json
import random
import threading
import urllib.request
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from sqlalchemy import select

from graphstore.session import open_engine, read
from graphstore.tables import attributions, impressions, models
from sagestream.embedded import find_kafka
from sagestream.playground import Options, Playground
from sagestream.stages import Stages

SHOPPERS = 60
SHELF = 20
DAY = 86_400
BEGIN = 1_700_000_000


def shop(path: Path) -> Path:
    """Thirty days of two circles, then a tenth of the events, half of them on the new shelf."""
    rng = random.Random(7)
    rows = []
    for number in range(7200):
        shopper = rng.randrange(SHOPPERS)
        shelf = "a" if shopper % 2 else "b"
        rows.append((f"u{shopper}", f"{shelf}{rng.randrange(SHELF)}", BEGIN + number * 30 * DAY // 7200))
    for number in range(800):
        shopper = rng.randrange(SHOPPERS)
        shelf = "a" if shopper % 2 else "b"
        item = f"new{rng.randrange(6)}" if rng.random() < 0.5 else f"{shelf}{rng.randrange(SHELF)}"
        rows.append((f"u{shopper}", item, BEGIN + 31 * DAY + number))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("user", "item", "timestamp"), *rows])
    return path


@pytest.fixture(params=["tansu", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    kind = str(request.param)
    if kind == "kafka" and find_kafka() is None:
        pytest.skip("Apache Kafka was not tested: set KAFKA_HOME to a distribution, with Java 17")
    if kind == "tansu":
        monkeypatch.delenv("KAFKA_HOME", raising=False)
    return kind


@pytest.mark.timeout(600)
def test_the_loop_closes(broker_kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "RETRAIN_MIN_EVENTS": "250",
        "DRIFT_INTERVAL_SECONDS": "5",
        "DRIFT_MIN_ROWS": "50",
        "DRIFT_WINDOW_SECONDS": str(2 * DAY),
        "GATE_MIN_USERS": "20",
        "GATE_CONFIDENCE": "0.6",
        "TREND_REFRESH_SECONDS": "1",
    }.items():
        monkeypatch.setenv(f"SAGESTREAM_{name}", value)
    options = Options(
        state_dir=tmp_path / "state",
        dataset=str(shop(tmp_path / "shop.csv")),
        sample=None,
        min_item_users=1,
        rate=20.0,
        seed=0,
        port=1,  # taken or forbidden: a free one is found
        once=True,
    )
    told = io.StringIO()
    run = Playground(options, Stages(Console(file=told, width=200)))
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    run.run()

    figures = json.loads(json.dumps(run.outcome.as_json()))
    counted = figures["events"]
    assert figures["broker"] == broker_kind
    assert counted["produced"] == counted["stored"] + counted["duplicate"] + counted["dead"]
    assert (counted["duplicate"], counted["dead"]) == (1, 1)
    assert figures["graph"]["users"] == SHOPPERS
    kinds = {model["kind"]: model for model in figures["models"]}
    assert kinds["closed_form"]["gate"]["verdict"] == "promoted"
    assert kinds["graphsage"]["gate"]["verdict"] in ("promoted", "kept")
    assert kinds["incremental"]["gate"]["verdict"] == "promoted", kinds["incremental"]["gate"]
    assert kinds["incremental"]["status"] == "champion"
    assert figures["retrain"]["outcome"] == "promoted"
    assert figures["ctr"]["clicks"] > 0
    assert figures["ctr"]["low"] <= figures["ctr"]["value"] <= figures["ctr"]["high"]
    assert figures["freshness_ms"]["samples"] > 0
    assert Path(figures["drift"]["report_html"]).read_text().lstrip().lower().startswith("<")
    assert set(figures["baselines"]) >= {"recent_popularity", "linear_item_model"}

    engine = open_engine(f"sqlite:///{options.state_dir.resolve() / 'graph.db'}")
    with read(engine) as connection:
        shown = {row.request_id for row in connection.execute(select(impressions))}
        assert {row.request_id for row in connection.execute(select(attributions))} <= shown
        assert len(connection.execute(select(models).where(models.c.status == "champion")).all()) == 1
    engine.dispose()
    left = {child.pid for child in psutil.Process().children(recursive=True)} - before
    assert not [pid for pid in left if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def test_stopping_in_the_middle_leaves_nothing_and_the_next_start_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    options = Options(
        state_dir=tmp_path / "state",
        dataset=str(shop(tmp_path / "shop.csv")),
        sample=None,
        min_item_users=1,
        rate=50.0,
        seed=0,
        port=1,
    )
    rows = []
    for _ in range(2):
        run = Playground(options, Stages(Console(file=io.StringIO())))
        seen: list[str] = []

        def look(run: Playground = run, seen: list[str] = seen) -> None:
            """As a visitor: open the page, then press Ctrl-C."""
            while not run.live and not run.stop.wait(0.2):
                continue
            run.stop.wait(8)
            url = f"http://127.0.0.1:{run.port}/"
            with urllib.request.urlopen(url, timeout=10) as page:
                seen.append(page.read().decode())
            run.stop.set()

        visitor = threading.Thread(target=look)
        visitor.start()
        run.run()
        visitor.join()
        assert "Recommended for you" in seen[0]
        state = json.loads((options.state_dir / "playground.json").read_text())
        rows.append(state["next_row"])
    assert 7200 < rows[0] < rows[1]
    assert run.outcome.graphsage_seconds is None or run.outcome.graphsage_seconds > 0
