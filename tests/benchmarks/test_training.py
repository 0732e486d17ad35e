"""The benchmark of training runs, as it is called, and its log is one of a shop."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.training import BOUNDS, PARTS, Shop, as_json, as_markdown, main, slope, synthetic_log

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    *("--edges", "3000", "--users", "150", "--items", "300", "--retrieval-users", "40", "--retrieval-items", "3000"),
    *("--large-items", "3000", "--large-edges", "20000", "--sizes", "2000", "--steps", "2"),
)


def run(output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/training.py", "--json", str(output), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_part_is_measured(tmp_path: Path) -> None:
    done = run(tmp_path / "out.json", *SMALL)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    assert found.keys() == {*PARTS, "sizes", "bounds"}
    growth = found.pop("growth")
    for part in (*(found[name] for name in PARTS if name != "growth"), *growth["sage"].values()):
        assert part["cpu_seconds"] > 0
        assert part["wall_seconds"] > 0
        assert part["peak_rss_mb"] > 50
    assert found["sage"]["steps"] == found["sage"]["steps_an_epoch"] == 2
    assert found["closed_form"]["filters_cpu_seconds"] <= found["closed_form"]["cpu_seconds"]
    assert found["retrieval"]["users_per_cpu_second"] > 0
    assert found["large_catalogue"]["weights"] > 3_000
    assert 0 < found["large_catalogue"]["items_scored"] <= 3_000
    assert growth["sage"].keys() == growth["closed_form"].keys() == {"2000"}
    assert growth["slope"] == {"sage": None, "closed_form": None}
    assert found["bounds"].keys() == BOUNDS.keys()
    assert "| retrieval.users_per_cpu_second |" in done.stdout
    assert "| sage, 2,000 edges |" in done.stdout


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


def test_a_part_that_fails_leaves_what_was_measured(tmp_path: Path) -> None:
    crowded = ("--edges", "100000", "--users", "10", "--items", "10", "--only", "retrieval", "sage")
    done = run(tmp_path / "out.json", *SMALL, *crowded)
    assert done.returncode == 1
    assert "too many" in done.stderr
    assert json.loads((tmp_path / "out.json").read_text())["sage"] is None


def test_the_log_is_one_of_a_shop() -> None:
    shop = Shop(edges=20_000, users=1_000, items=2_000)
    log, again, other = (synthetic_log(shop, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(log.cells, again.cells)
    assert not np.array_equal(log.cells, other.cells)
    assert len(np.unique(log.cells)) == len(log) == 20_000
    assert (np.diff(log.times) >= 0).all()
    counts = np.sort(np.bincount(log.items, minlength=2_000))[::-1]
    assert counts[:200].sum() > 0.4 * len(log)
    assert np.bincount(log.users, minlength=1_000).max() > 3 * 20
    # Shoppers of one taste meet in the same items far more often than any two do.
    taken = np.zeros((1_000, 2_000))
    taken[log.users, log.items] = 1.0
    common = taken @ taken.T
    same = np.arange(1_000)[:, None] % 4 == np.arange(1_000) % 4
    np.fill_diagonal(same, val=False)
    assert common[same].mean() > 2 * common[~same & ~np.eye(1_000, dtype=np.bool_)].mean()


@pytest.mark.parametrize(
    ("sizes", "seconds", "expected"), [((10, 100, 1_000), (1.0, 10.0, 100.0), 1.0), ((10,), (1.0,), None)]
)
def test_the_slope(sizes: tuple[int, ...], seconds: tuple[float, ...], expected: float | None) -> None:
    assert slope(sizes, seconds) == expected


@pytest.mark.parametrize("arguments", [("--only", "nothing"), ("--edges", "0"), ("--sizes", "10,x"), ("--steps", "0")])
def test_nonsense_is_refused(tmp_path: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--json", str(tmp_path / "out.json"), *arguments])
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err
