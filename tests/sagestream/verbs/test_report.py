"""`report` as a user calls it: spans, segments, comparisons, files of each format, and what it refuses."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from sqlalchemy import insert

from graphstore.session import now_ms, open_engine, write
from graphstore.tables import EVENT_TYPES, attributions
from graphstore.upserts import ImpressionRow, insert_impressions
from monitoring.drift.verdict import DriftResult
from monitoring.windows import TimeWindow, write_figures
from sagestream.figure_files import COLUMNS
from tests.databases import migrated_sqlite
from tests.sagestream.verbs.commands import run

DAY_MS = 86_400_000


@pytest.fixture
def shop(tmp_path: Path) -> dict[str, str]:
    """Two slots, today and yesterday; half of the lists of the slot `home` are clicked today."""
    directory = tmp_path / "state"
    engine = open_engine(migrated_sqlite(directory / "graph.db"))
    now = now_ms()
    rows, clicks = [], []
    for number in range(40):
        time, slot = now - 60_000 - DAY_MS * (number % 2), ("home", "cart")[number // 20]
        rows += [
            ImpressionRow(f"r{number}", p, f"u{number}", "i", slot, time, "m1", "champion", 1.0, 1.0, "own")
            for p in range(2)
        ]
        if number % 4 == 0 and slot == "home":
            clicks.append({"event_id": f"e{number}", "request_id": f"r{number}", "position": 0, "event_time": time})
    with write(engine) as connection:
        insert_impressions(connection, rows)
        connection.execute(insert(attributions), [row | {"event_type": EVENT_TYPES.index("click")} for row in clicks])
    engine.dispose()
    return {"STATE_DIR": str(directory), "REDIS_URL": "redis://127.0.0.1:1/0"}


def test_the_last_day_in_words(shop: dict[str, str]) -> None:
    done = run("report", settings=shop)
    assert done.code == 0
    lines = [line.split("│")[1:-1] for line in done.out.splitlines() if "│" in line]
    cells = {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}
    assert cells["all"][:3] == ["40", "5", "12.50%"]
    assert cells["slot:home"][:3] == ["20", "5", "25.00%"]
    assert cells["items shown a shopper (items)"][0] == "2"
    assert cells["ctr with robots"][0] == "12.50%"
    assert "no drift report yet" in done.out


def test_a_drift_that_could_not_be_told_for_want_of_events_has_no_page(tmp_path: Path, shop: dict[str, str]) -> None:
    span = TimeWindow(now_ms() - DAY_MS, now_ms())
    found = DriftResult("insufficient", "7 events, 200 needed", span, span, 7, 7)
    engine = open_engine(f"sqlite:///{tmp_path / 'state' / 'graph.db'}")
    for result, shown in (
        (found, ["drift: insufficient, 7 events, 200 needed"]),
        (
            replace(found, verdict="stable", reason="8 columns", share=0.0, report_html="drift.html"),
            ["drift: stable, share of columns 0.0, 8 columns", "drift.html"],
        ),
    ):
        with write(engine) as connection:
            write_figures(connection, [result.figure()])
        done = run("report", settings=shop)
        assert (done.code, done.out.splitlines()[-len(shown) :]) == (0, shown)
    engine.dispose()


def test_json_has_the_figures_of_every_segment(shop: dict[str, str]) -> None:
    told = run("report", "--since", "3d", "--by", "slot", "--compare", "home,cart", "--json", settings=shop).json
    assert told["ctr"]["all"] == told["ctr"]["all"] | {"impressions": 80, "clicks": 5, "value": 5 / 80}
    assert {line["segment"] for line in told["figures"]} == {"all", "slot:home", "slot:cart"}
    (ctr,) = (line for line in told["differences"] if line["metric"] == "ctr")
    assert (ctr["first"], ctr["second"], ctr["value"], ctr["n"]) == (5 / 40, 0.0, 5 / 40, 40)
    assert ctr["low"] < ctr["value"] < ctr["high"]
    assert (told["compared"], told["warnings"], told["position_bias"]) == ("slot:home minus slot:cart", [], None)
    assert (told["probation"], told["drift"]) == (None, None)


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
def test_every_figure_goes_into_a_file(shop: dict[str, str], tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"figures{suffix}"
    words = ("report", "--by", "slot", "--compare", "previous", "--out", str(out), "--json")
    told = run(*words, settings=shop).json
    rows: list[dict[str, Any]]
    if suffix == ".json":
        rows = json.loads(out.read_text())
    elif suffix == ".csv":
        rows = list(csv.DictReader(out.read_text().splitlines()))
    else:
        rows = parquet.read_table(out).to_pylist()
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(told["figures"]) + len(told["differences"])
    (ctr,) = (row for row in rows if (row["kind"], row["segment"], row["metric"]) == ("figure", "all", "ctr"))
    assert (float(ctr["value"]), int(ctr["n"]), int(ctr["end"])) == (5 / 40, 40, told["until"])
    assert list(tmp_path.glob(".figures*")) == []


def test_differences_in_words(shop: dict[str, str]) -> None:
    done = run("report", "--compare", "previous", settings=shop, columns=160)
    assert "this span minus the span before it" in done.out
    assert any("12.50%" in line and "0.00%" in line and "slot:home" not in line for line in done.out.splitlines())


def test_what_is_refused(shop: dict[str, str], tmp_path: Path) -> None:
    for words, said in (
        (("--out", "figures.xlsx"), "ends with none of"),
        (("--since", "1h", "--until", "2h"), "ends before it begins"),
        (("--by", "slot", "--compare", "home,hone"), "cart, home"),
        (("--compare", "home,cart"), "--by"),
        (("--by", "colour"), "colour"),
    ):
        done = run("report", *words, settings=shop)
        assert (done.code, said in done.err) == (2, True), done.err
    done = run("report", "--out", str(tmp_path / "none" / "x.csv"), settings=shop)
    assert done.code == 1
