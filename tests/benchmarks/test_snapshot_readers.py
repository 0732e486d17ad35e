"""Any number of readers reads the same events, and their costs are told as they are measured."""

import json
from pathlib import Path

import pytest

from benchmarks.snapshot_readers import COSTS, main

pytestmark = pytest.mark.service


def test_all_readers_are_measured_on_the_same_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found.json"
    assert main(["--json", str(out), "--events", "3000", "--readers", "1", "2", "--turns", "1"]) == 0
    found = json.loads(out.read_text())
    assert found["events"] == 3000
    assert list(found["readers"]) == ["1", "2"]
    assert all(found["readers"]["1"][name] >= 0 for name in COSTS)
    assert "| 2 | " in capsys.readouterr().out
