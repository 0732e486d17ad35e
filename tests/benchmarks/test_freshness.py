"""The benchmark of freshness, as it is called, and its arithmetic."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fresh_events import made
from benchmarks.fresh_watch import delays
from benchmarks.freshness import Report, Sizes, as_json, as_markdown

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.service
@pytest.mark.slow
def test_it_runs_and_leaves_the_keys_that_others_read(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/freshness.py", "--json", str(tmp_path / "out.json"), "--quick"]
    done = subprocess.run([*command, "--broker", "embedded"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["rate"], found["broker"]) == (50.0, "embedded")
    for figures in (found["known_ms"], found["new_ms"], found["burst"]["late_ms"]):
        assert 0 < figures["p50"] <= figures["p99"]
    assert found["stages_ms"].keys() == {"produced_to_stored", "stored_to_touched", "touched_to_list"}
    assert found["new_item_seconds"] > 0
    assert found["burst"]["events"] == 200
    assert found["burst"]["absorbed_seconds"] > 0
    assert "| burst absorbed s |" in done.stdout


@pytest.mark.service
@pytest.mark.parametrize("arguments", [("--only", "nothing"), ("--seconds", "5"), ("--burst", "0"), ("--broker", "x")])
def test_nonsense_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "benchmarks/freshness.py", "--json", str(tmp_path / "out.json"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "usage" in done.stderr) == (2, True)


def test_each_event_has_the_first_list_that_came_after_it() -> None:
    sent = [("ann", 10.0), ("ann", 20.0), ("bob", 10.5)]
    stored = {"ann": [9.0, 10.1, 20.1], "bob": [10.6]}
    touched = {"ann": [10.2, 20.2], "bob": [10.7]}
    listed = {"ann": [10.15, 10.4, 20.3], "bob": [11.0]}
    found = delays(sent, stored, touched, listed)
    assert [one.stages for one in found] == [
        pytest.approx(stages, abs=1e-6) for stages in [(100, 100, 200), (100, 100, 100), (100, 100, 300)]
    ]
    assert [round(one.whole) for one in found] == [400, 300, 500]


def test_an_event_without_a_list_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="changed no list"):
        delays([("ann", 10.0)], {"ann": [10.1]}, {"ann": [10.2]}, {"ann": [10.15]})


def test_every_second_event_is_of_a_known_shopper_in_turn() -> None:
    events = made(8, known=2, items=3, prefix="x")
    known = [event.user_id for event in events if event.user_id.startswith("known-")]
    assert len(known) == 4
    assert known[0] == known[2] != known[1] == known[3]
    assert len({event.user_id for event in events} - {*known}) == 4
    assert {event.item_id for event in events} <= {"i0", "i1", "i2"}


def test_what_did_not_run_is_null_and_no_bound_is_met() -> None:
    found = as_json(Report(Sizes(), "embedded"))
    assert found["known_ms"] is found["new_item_seconds"] is found["burst"]["absorbed_seconds"] is None
    assert {held["met"] for held in found["bounds"].values()} == {None}
    assert "not run" in as_markdown(found)
