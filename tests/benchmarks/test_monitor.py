"""The benchmark of the monitor's pass runs, and its first and steady passes leave nothing behind."""

import json
from pathlib import Path

import pytest

from benchmarks import monitor


def test_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert monitor.main(["--json", str(tmp_path / "out.json"), "--impressions", "300"]) == 0
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    costs = found["sizes"]["300"]
    assert costs.keys() == {"first", "steady"}
    assert all(cost["passes"] >= 1 and cost["longest_hold_seconds"] > 0 for cost in costs.values())
    assert costs["steady"]["holds"] < costs["first"]["holds"]
    assert "| 300 | steady |" in capsys.readouterr().out
