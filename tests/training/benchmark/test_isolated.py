"""A process of its own: what comes back, what it cost, how it fails."""

import numpy as np
import pytest

from tests.training import fits
from training.benchmark.isolated import peak_rss_mb, run_isolated
from training.process import FaultInProcess, SpawnedProcessFailed

pytestmark = pytest.mark.slow


def test_a_process_of_its_own_gives_result_progress_and_cost() -> None:
    ballast = np.ones(40_000_000)  # 320 MB of ours, which are not the child's
    lines: list[tuple[str, float]] = []
    (number, threads), cost = run_isolated(fits.echo, 7, progress=lambda line, share: lines.append((line, share)))
    assert (number, threads, lines) == (7, "1", [("half", 0.5)])
    assert 0 <= cost.cpu_seconds < 60
    assert 50 < cost.peak_rss_mb < peak_rss_mb() - ballast.nbytes / 1e6 / 2


def test_what_a_process_raises_is_told() -> None:
    with pytest.raises(FaultInProcess, match=r"Traceback[^$]*fits\.py[^$]*ValueError: singular matrix"):
        run_isolated(fits.failing_call, progress=lambda line, share: None)
    with pytest.raises(SpawnedProcessFailed, match=r"^too few events$"):
        run_isolated(fits.refusing_call, progress=lambda line, share: None)
