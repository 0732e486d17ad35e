"""The load on several rankers, with a tiny shop and two processes: all clients are answered."""

import pytest

from benchmarks.ranker_load import measure

pytestmark = [pytest.mark.service, pytest.mark.slow]


def test_two_processes_answer_all_clients() -> None:
    turn = measure(120, 2, clients=2, seconds=0.5, warm_up_seconds=0.1)
    assert len(turn.milliseconds) >= 4
    assert turn.seconds >= 0.5
    assert turn.cpu_ms > 0
    assert turn.memory_mb > 200  # two processes with torch
