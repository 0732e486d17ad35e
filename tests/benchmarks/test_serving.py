"""The benchmark of serving, as it is called, and its arithmetic."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import serving, wrk
from benchmarks.serving import CONTENDERS, RULES, Report, Sizes, as_json, as_markdown
from benchmarks.wrk import MISSING, Load
from serving.slots.slots_file import read_slots

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason=MISSING)
def test_it_runs_and_leaves_the_keys_that_others_read(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/serving.py", "--json", str(tmp_path / "out.json"), "--quick"]
    command += ["--only", "cpu", "half_load"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["cpu_us"].keys() == {*CONTENDERS}
    assert all(value > 0 for value in found["cpu_us"].values())
    assert 0 < found["half_load_ms"]["p50"] <= found["half_load_ms"]["p99"]
    assert found["two_processes_ratio"] is None
    assert found["ranker_ms"] == {"5000": None, "100000": None}
    assert "| hot to bare |" in done.stdout


def test_without_wrk_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wrk.shutil, "which", lambda name: None)
    output = tmp_path / "out.json"
    assert serving.main(["--json", str(output), "--quick", "--only", "cpu"]) == 1
    assert MISSING in capsys.readouterr().err
    assert set(json.loads(output.read_text())["cpu_us"].values()) == {None}


def test_the_slots_of_the_run_are_slots(tmp_path: Path) -> None:
    (tmp_path / "slots.toml").write_text(RULES)
    assert {"plain", "filtered", "ruled"} <= read_slots(tmp_path / "slots.toml").slots.keys()


def test_a_ratio_is_the_median_of_the_turns() -> None:
    report = Report(Sizes(), cpu_us={"bare": [100, 200, 100], "hot": [150, 200, 170], "django": [500, 600, 400]})
    report.half_load["hot"] = Load(10, 2.0, 0, 1.5, 25.0)
    found = as_json(report)
    assert found["ratio_to_bare"]["hot"] == 1.5
    assert found["cpu_us"] == {"bare": 100, "hot": 170, "hot_filters": None, "hot_rules": None, "django": 500}
    assert found["half_load_ms"] == {"p50": 1.5, "p99": 25.0}
    assert found["half_load"]["hot"]["requests_per_second"] == 5
    assert [found["bounds"][name]["met"] for name in ("hot to bare", "half_load p99 ms", "ranker p99 ms, 5000")] == [
        True,
        False,
        None,
    ]
    assert "| hot | 170 | 1.5 |" in as_markdown(found)


@pytest.mark.service
@pytest.mark.parametrize("arguments", [("--only", "nothing"), ("--shoppers", "0"), ("--seconds", "0.5")])
def test_nonsense_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "benchmarks/serving.py", "--json", str(tmp_path / "out.json"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "usage" in done.stderr) == (2, True)
