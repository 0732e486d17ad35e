"""The benchmark of training, as it is called."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import training
from benchmarks.training import BOUNDS, PARTS, as_json, as_markdown, main

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    *("--edges", "3000", "--users", "150", "--items", "300", "--retrieval-users", "40", "--retrieval-items", "3000"),
    *("--large-items", "3000", "--large-edges", "20000", "--sizes", "2000", "--steps", "0"),
)


def run(output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/training.py", "--json", str(output), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_part_is_measured(tmp_path: Path) -> None:
    done = run(tmp_path / "out.json", *SMALL)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    assert found.keys() == {*PARTS, "sizes", "bounds"}
    growth = found.pop("growth")
    grown = [one for name, by_size in growth.items() if name != "slope" for one in by_size.values()]
    for part in (*(found[name] for name in PARTS if name != "growth"), *grown):
        assert part["cpu_seconds"] > 0
        assert part["wall_seconds"] > 0
        assert part["peak_rss_mb"] > 50
    assert found["sage"]["steps"] == found["sage"]["steps_an_epoch"] == 2
    assert found["closed_form"]["filters_cpu_seconds"] <= found["closed_form"]["cpu_seconds"]
    assert found["retrieval"]["users_per_cpu_second"] > 0
    assert found["large_catalogue"]["weights"] > 3_000
    assert 0 < found["large_catalogue"]["items_scored"] <= 3_000
    assert growth.keys() == {"whole graph", "sampled", "closed form", "slope"}
    assert len(grown) == 3
    assert growth["sampled"]["2000"]["steps"] == 1
    assert growth["slope"]["sampled"] == {"epoch_cpu_seconds": None, "peak_rss_mb": None}
    assert found["bounds"].keys() == BOUNDS.keys()
    assert "| retrieval.users_per_cpu_second |" in done.stdout
    assert "| sampled | 2,000 | 1 |" in done.stdout


def test_what_was_not_run_is_null() -> None:
    figures = as_json({"sage": {"cpu_seconds": 21.0, "wall_seconds": 30.0, "peak_rss_mb": 900.0}}, {})
    assert figures["retrieval"] is figures["growth"] is None
    assert figures["bounds"]["sage.cpu_seconds"] == {"value": 21.0, "bound": "at most 20", "met": False}
    assert figures["bounds"]["sage.peak_rss_mb"]["met"] is True
    assert figures["bounds"]["retrieval.users_per_cpu_second"]["met"] is None
    table = as_markdown(figures).splitlines()
    assert "| sage | 21 | 30 | 900 |" in table
    assert "| sage.cpu_seconds | 21 | at most 20 | missed |" in table
    assert "| retrieval.users_per_cpu_second | not run | at least 2000 |  |" in table


@pytest.mark.slow
def test_a_part_that_fails_leaves_what_was_measured(tmp_path: Path) -> None:
    crowded = ("--edges", "100000", "--users", "10", "--items", "10", "--only", "retrieval", "sage")
    done = run(tmp_path / "out.json", *SMALL, *crowded)
    assert done.returncode == 1
    assert "too many" in done.stderr
    assert json.loads((tmp_path / "out.json").read_text())["sage"] is None


def test_what_is_stopped_leaves_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(options: argparse.Namespace, found: dict[str, Any]) -> None:
        found["retrieval"] = {"cpu_seconds": 1.0, "wall_seconds": 1.0, "peak_rss_mb": 1.0, "users_per_cpu_second": 9}
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "run_parts", stopped)
    assert main(["--json", str(tmp_path / "out.json")]) == 1
    assert json.loads((tmp_path / "out.json").read_text())["retrieval"]["users_per_cpu_second"] == 9


def test_growth_is_a_table_with_its_slopes() -> None:
    one = {"steps": 50, "step_cpu_ms": 40.0, "epoch_cpu_seconds": 20.0, "cpu_seconds": 3.0, "peak_rss_mb": 700.0}
    plain = {"cpu_seconds": 2.5, "peak_rss_mb": 500.0}
    slopes = {"sampled": {"epoch_cpu_seconds": 1.02, "peak_rss_mb": 0.3}, "closed form": {"cpu": None, "rss": None}}
    growth = {"sampled": {"1000000": one}, "closed form": {"1000000": plain}, "slope": slopes}
    table = as_markdown(as_json({"growth": growth}, {})).splitlines()
    assert "| sampled | 1,000,000 | 50 | 40.0 | 20 | 700 |" in table
    assert "| closed form | 1,000,000 |  |  | 2.5 | 500 |" in table
    assert "| sampled | slope | | | 1.02 | 0.3 |" in table
    assert "| closed form | slope | | |  |  |" in table


@pytest.mark.parametrize("arguments", [("--only", "nothing"), ("--edges", "0"), ("--sizes", "10,x"), ("--steps", "-1")])
def test_nonsense_is_refused(tmp_path: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--json", str(tmp_path / "out.json"), *arguments])
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err
