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


def test_the_doctor_looks_on_this_machine_unless_told() -> None:
    ports = {"worker": 6066, "serve": 8000}
    assert StreamConfig().probe_addresses(ports) == [("worker", "127.0.0.1", 6066), ("serve", "127.0.0.1", 8000)]
    told = StreamConfig(doctor_hosts="worker=worker-1, worker=[::1]:7000,")
    assert told.probe_addresses(ports) == [
        ("worker", "worker-1", 6066),
        ("worker", "[::1]", 7000),
        ("serve", "127.0.0.1", 8000),
    ]


@pytest.mark.parametrize("wrong", ["shop=host", "worker", "worker=", "worker=host:x", "worker=u:p@host"])
def test_hosts_that_the_doctor_cannot_ask(wrong: str) -> None:
    with pytest.raises(ValidationError):
        StreamConfig(doctor_hosts=wrong)
