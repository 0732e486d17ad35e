"""The simulated queue agrees with what is known of queues, and each trouble is felt as it must be."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.queues import Queue, ends, servers_for, simulate

QUIET = Queue(rate=200.0, service_seconds=0.002, servers=2, partitions=8)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.001, 3)), min_size=1, max_size=30))
def test_the_closed_form_is_one_event_after_the_other(rows: list[tuple[float, float]]) -> None:
    arrivals = np.sort(np.array([arrival for arrival, _ in rows]))
    services = np.array([service for _, service in rows])
    free, expected = 0.0, []
    for arrival, service in zip(arrivals, services, strict=True):
        free = max(free, arrival) + service
        expected.append(free)
    assert ends(arrivals, services) == pytest.approx(np.array(expected))


def test_the_mean_of_one_server_is_that_of_the_theory() -> None:
    """M/M/1: the mean time in the system is service / (1 − load)."""
    rng = np.random.default_rng(1)
    arrivals = np.cumsum(rng.exponential(1.0, 400_000))
    services = rng.exponential(0.5, 400_000)
    assert (ends(arrivals, services) - arrivals).mean() == pytest.approx(0.5 / (1 - 0.5), rel=0.03)


def test_every_trouble_is_felt() -> None:
    quiet, failed, burst, slow = (
        simulate(queue, np.random.default_rng(0))
        for queue in (
            QUIET,
            replace(QUIET, taken_over_after_seconds=10.0),
            replace(QUIET, burst=6.0),
            replace(QUIET, slow=8.0),
        )
    )
    assert quiet.felt_seconds == 0.0
    assert quiet.largest < 0.1
    assert 9.5 < failed.largest < 12.0
    assert 10.0 <= failed.felt_seconds < 15.0  # and what waited is worked off
    assert burst.largest > 1.0
    assert slow.p99 > 2 * quiet.p99


def test_there_are_enough_servers_and_never_only_one() -> None:
    assert servers_for(10.0, 0.001) == 2
    assert servers_for(7_000.0, 0.001) == 14
