"""A process of its own: what comes back, what it cost, how it fails."""

import re
import threading

import numpy as np
import pytest

from tests.training import fits
from training.benchmark.isolated import peak_rss_mb, reporting, run_isolated
from training.process import FaultInProcess, SpawnedProcessFailed

pytestmark = pytest.mark.slow


def test_a_process_of_its_own_gives_result_progress_and_cost() -> None:
    ballast = np.ones(40_000_000)  # 320 MB of ours, which are not the child's
    lines: list[tuple[str, float]] = []
    (number, threads), cost = run_isolated(fits.echo, 7, progress=lambda line, share: lines.append((line, share)))
    assert (number, threads) == (7, "1")
    assert len(lines) >= 1  # a busy machine may repeat it
    assert all(share == 0.5 and re.fullmatch(r"half · \d+ CPU s", line) for line, share in lines)
    assert 0 <= cost.cpu_seconds < 60
    assert 50 < cost.peak_rss_mb < peak_rss_mb() - ballast.nbytes / 1e6 / 2


def test_a_step_that_says_nothing_repeats_its_line_with_its_cpu_seconds_until_it_ends() -> None:
    lines: list[tuple[str, float]] = []
    repeated = threading.Event()
    threads = threading.active_count()
    seconds = iter(range(100_000))

    def progress(line: str, share: float) -> None:
        lines.append((line, share))
        if len(lines) == 4:
            repeated.set()

    with reporting(progress, lambda: next(seconds), every=0.001) as report:
        assert not lines  # nothing to repeat yet
        report("solving", 0.25)
        assert repeated.wait(60)
    assert lines[:4] == [(f"solving · {second} CPU s", 0.25) for second in range(4)]
    assert threading.active_count() == threads
    with pytest.raises(ValueError, match="singular"), reporting(progress, lambda: next(seconds), every=0.001):
        raise ValueError("singular")
    assert threading.active_count() == threads


def test_what_a_process_raises_is_told() -> None:
    with pytest.raises(FaultInProcess, match=r"Traceback[^$]*fits\.py[^$]*ValueError: singular matrix"):
        run_isolated(fits.failing_call, progress=lambda line, share: None)
    with pytest.raises(SpawnedProcessFailed, match=r"^too few events$"):
        run_isolated(fits.refusing_call, progress=lambda line, share: None)
