"""The ports of the probes: one setting, a place for each process."""

import pytest
from pydantic import ValidationError

from stream.config import MAX_PROBE_PORT, PROBED_PROCESSES, StreamConfig


def test_each_process_has_a_port_of_its_own_next_to_the_others() -> None:
    assert StreamConfig().probe_port_of("worker") == 6066
    assert StreamConfig().probe_port_of("monitor") == 6070
    highest = StreamConfig(probe_port=MAX_PROBE_PORT)
    ports = [highest.probe_port_of(process) for process in PROBED_PROCESSES]
    assert ports == list(range(MAX_PROBE_PORT, 65_536))
    with pytest.raises(ValidationError):
        StreamConfig(probe_port=MAX_PROBE_PORT + 1)


def test_zero_stays_any_free_port() -> None:
    assert {StreamConfig(probe_port=0).probe_port_of(process) for process in PROBED_PROCESSES} == {0}
