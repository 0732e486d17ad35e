"""The whole loop on real parts: event → list → click → CTR → retrain → promotion.

A toy shop whose right answer is known: in the kept future everybody turns to items that no model has seen, so a
retrained model must beat the champion and take its place.
"""

import csv
import io
import json
import random
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from graphstore.session import open_engine, read
from graphstore.tables import attributions, impressions, models
from sagestream.playground.embedded import find_kafka
from sagestream.playground.options import Options
from sagestream.playground.run import Playground
from sagestream.printable import PlainConsole
from sagestream.stages import Stages
from training.config_file import save_config

pytestmark = [pytest.mark.service, pytest.mark.slow]


SHOPPERS = 60
SHELF = 20
DAY = 86_400
BEGIN = 1_700_000_000


def shop(path: Path) -> Path:
    """Twenty days of fashions and two circles of shoppers, then a tenth of the events under a new fashion.

    Half of what is bought is of a shopper's own shelf, half of the fashion of the moment, which lasts two days: what is
    in fashion now is the thing to know, and the last fashion is of items that only a retrained model knows.
    """
    rng = random.Random(7)

    def bought(fashion: int) -> tuple[str, str]:
        shopper = rng.randrange(SHOPPERS)
        own = f"{'a' if shopper % 2 else 'b'}{rng.randrange(SHELF)}"
        return f"u{shopper}", f"fashion{fashion}-{rng.randrange(4)}" if rng.random() < 0.5 else own

    rows = []
    for number in range(7200):
        time = BEGIN + number * 20 * DAY // 7200
        rows.append((*bought((time - BEGIN) // (2 * DAY)), time))
    rows += [(*bought(99), BEGIN + 21 * DAY + number) for number in range(800)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("user", "item", "timestamp"), *rows])
    return path


def small_training(path: Path) -> dict[str, str]:
    """The setting of a training that is soon over, for a test that does not ask how good its model is."""
    save_config(path, {"sage": {"dim": 8, "max_steps": 40, "evaluate_every": 20}})
    return {"SAGESTREAM_TRAINING_CONFIG": str(path)}


def running_children() -> list[str]:
    """Processes of the loop that are still there; the test session's own Redis is not one of them."""
    family = psutil.Process().children(recursive=True)
    alive = [child for child in family if child.status() != psutil.STATUS_ZOMBIE]
    return [" ".join(child.cmdline()) for child in alive if "sagestream" in child.cmdline() or "tansu" in child.name()]


def visit(url: str) -> str:
    """The shop's page as a browser gets it, and one purchase through it."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(url, timeout=90) as page:
        text: str = page.read().decode()
    token = text.partition('data-csrf="')[2].partition('"')[0]
    click = json.dumps({"event_type": "purchase", "user_id": "visitor", "item_id": "a1"}).encode()
    headers = {"Content-Type": "application/json", "X-CSRFToken": token, "Referer": url}
    with browser.open(urllib.request.Request(f"{url}shop/events/", click, headers), timeout=90) as answer:
        assert answer.status == 202
    return text


@pytest.fixture(params=["tansu", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    kind = str(request.param)
    if kind == "kafka" and find_kafka() is None:
        pytest.skip("Apache Kafka was not tested: set KAFKA_HOME to a distribution, with Java 17")
    if kind == "tansu":
        monkeypatch.delenv("KAFKA_HOME", raising=False)
    return kind


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.mark.timeout(600)
def test_the_loop_closes(broker_kind: str, taken_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "RETRAIN_MIN_EVENTS": "250",
        "DRIFT_INTERVAL_SECONDS": "5",
        "DRIFT_WINDOW_SECONDS": str(2 * DAY),
        "GATE_MIN_USERS": "20",
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
        port=taken_port,  # a free one is found instead
        once=True,
    )
    told = io.StringIO()
    run = Playground(options, Stages(PlainConsole(file=told, width=200)))
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
    assert not running_children()


def test_stopping_in_the_middle_leaves_nothing_and_the_next_start_goes_on(
    taken_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    for name, value in small_training(tmp_path / "training.json").items():
        monkeypatch.setenv(name, value)
    options = Options(
        state_dir=tmp_path / "state",
        dataset=str(shop(tmp_path / "shop.csv")),
        sample=None,
        min_item_users=1,
        rate=50.0,
        seed=0,
        port=taken_port,
    )
    rows = []
    for _ in range(2):
        run = Playground(options, Stages(PlainConsole(file=io.StringIO())))
        seen: list[str] = []

        def look(run: Playground = run, seen: list[str] = seen) -> None:
            """As a visitor: open the page, buy something, then press Ctrl-C."""
            try:
                while not run.live and not run.stop.wait(0.2):
                    continue
                run.stop.wait(8)
                seen.append(visit(f"http://127.0.0.1:{run.port}/"))
            finally:
                run.stop.set()

        visitor = threading.Thread(target=look, daemon=True)
        visitor.start()
        try:
            run.run()
        finally:
            run.stop.set()
        visitor.join()
        assert not running_children()
        assert "Sagestream shop" in seen[0]
        state = json.loads((options.state_dir / "playground.json").read_text())
        rows.append(state["next_row"])
    assert 7200 < rows[0] < rows[1]
    counted = run.outcome.events
    assert counted.settled()  # with the visitor's own purchase, which no shopper of ours produced
