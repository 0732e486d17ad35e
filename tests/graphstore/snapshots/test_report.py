"""The report of a snapshot on a graph whose every number is known."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import Engine

from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import write
from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.report import degrees, get_graph_report, print_graph_report
from graphstore.snapshots.snapshot import build_snapshot

DAY = 86_400_000


@pytest.fixture
def snapshot(sqlite_engine: Engine, tmp_path: Path) -> Snapshot:
    """u1 buys i1 three times and i2 once, u2 buys i1 once, on five days in a row."""
    bought = [("u1", "i1"), ("u1", "i1"), ("u1", "i2"), ("u2", "i1"), ("u1", "i1")]
    rows = [InteractionRow(f"e{n}", 3, user, item, (n + 1) * DAY) for n, (user, item) in enumerate(bought)]
    with write(sqlite_engine) as connection:
        ingest_interactions(connection, rows, now=1)
    return build_snapshot(sqlite_engine, tmp_path, as_of=10 * DAY, created_at=1)


def test_degrees_count_events(snapshot: Snapshot) -> None:
    found = {kind: values.tolist() for kind, values in degrees(snapshot).items()}
    assert found == {"user": [4, 1], "item": [4, 1]}


def test_every_number(snapshot: Snapshot) -> None:
    report = get_graph_report(snapshot)
    assert (report["users"], report["items"], report["interactions"], report["edges"]) == (2, 2, 5, 3)
    assert report["density"] == 0.75
    assert report["time_range"] == [DAY, 5 * DAY]
    assert report["degrees"]["user"] == {"0": 1, "0.25": 1, "0.5": 1, "0.75": 4, "0.9": 4, "0.99": 4, "1": 4}
    assert json.loads(get_graph_report(snapshot, render_as="json")) == report


def test_the_table_has_times_and_not_milliseconds(snapshot: Snapshot) -> None:
    console = Console(width=200)
    with console.capture() as capture:
        print_graph_report(snapshot, console)
    shown = capture.get()
    assert "1970-01-11 00:00:00" in shown
    assert "1970-01-02 00:00:00" in shown
    assert "density" in shown
    assert "100% 4" in shown


def test_the_table_is_no_wider_than_a_terminal(snapshot: Snapshot) -> None:
    console = Console(width=80)
    with console.capture() as capture:
        print_graph_report(snapshot, console)
    lines = capture.get().splitlines()
    assert max(len(line) for line in lines) <= 80
    words = {word for line in lines for word in line.split()}
    assert {snapshot.snapshot_id, "interactions", "density", "degrees", "1970-01-11", "00:00:00", "100%"} <= words


def test_a_time_that_is_no_date_is_shown_as_it_is(sqlite_engine: Engine, tmp_path: Path) -> None:
    empty = build_snapshot(sqlite_engine, tmp_path, as_of=2**60, created_at=1)
    console = Console(width=200)
    with console.capture() as capture:
        print_graph_report(empty, console)
    assert str(2**60) in capture.get()
