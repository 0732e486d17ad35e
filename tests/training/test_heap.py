"""Freed memory is given back while what was made last stays."""

import ctypes
import gc
import sys
from pathlib import Path

import numpy as np
import pytest

from training.benchmark.isolated import run_isolated
from training.heap import malloc_trim, release_freed
from training.options import ignore_progress


def resident_mb() -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1_000


def freed_mb(_progress: object) -> float:
    """Free 200 MB that lie between what stays, and return how much the process shrinks."""
    kept, freed = [], []
    for _ in range(2_000):
        freed.append(np.ones(12_500))  # 100 kB, below the limit of arrays with pages of their own
        kept.append(np.ones(100))
    freed.clear()
    gc.collect()
    before = resident_mb()
    assert release_freed()
    assert len(kept) == 2_000
    return before - resident_mb()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the call is of glibc")
def test_what_was_freed_between_what_stays_is_given_back():
    shrunk, _ = run_isolated(freed_mb, progress=ignore_progress)
    assert shrunk > 100


def test_an_allocator_without_the_call_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    malloc_trim.cache_clear()
    try:
        assert not release_freed()
    finally:
        malloc_trim.cache_clear()
