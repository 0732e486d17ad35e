"""Compiled functions: not older than what they call in another file, and several threads at once where they may."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from graphstore.arrays import IntArray
from training.compiled import compiled

CALLED = """
from training.compiled import compiled

@compiled()
def twice(x: int) -> int:
    return {factor} * x
"""
CALLER = """
from called import twice
from training.compiled import compiled

@compiled()
def plus_one(x: int) -> int:
    return twice(x) + 1

@compiled()
def plus_two(x: int) -> int:
    return twice(x) + 2

print(plus_one(10), plus_two(10), end="")
"""
ROOT = Path(__file__).parents[2]


def run(directory: Path) -> str:
    paths = os.pathsep.join([str(ROOT), str(directory)])
    return subprocess.run(
        [sys.executable, "-B", "caller.py"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": paths},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_a_changed_function_in_another_file_compiles_its_callers_again(tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text(CALLER)
    (tmp_path / "called.py").write_text(CALLED.format(factor=2))
    assert run(tmp_path) == "21 22"
    kept = {index: index.stat().st_mtime_ns for index in tmp_path.rglob("*.nbi")}
    assert len(kept) == 3
    assert run(tmp_path) == "21 22"
    assert {index: index.stat().st_mtime_ns for index in tmp_path.rglob("*.nbi")} == kept
    (tmp_path / "called.py").write_text(CALLED.format(factor=3))
    assert run(tmp_path) == "31 32"


@compiled(threads=True)
def meets(turns: IntArray, own: int, most: int) -> bool:
    """Count turns until another thread does, too."""
    for turn in range(1, most):
        turns[own] = turn
        if turns[1 - own]:
            return True
    return False


def test_several_threads_run_at_once() -> None:
    turns = np.zeros(2, dtype=np.int64)
    assert not meets(turns, 0, 2)
    turns[:] = 0
    with ThreadPoolExecutor(2) as threads:
        assert all(threads.map(lambda own: meets(turns, own, 10**10), range(2)))
