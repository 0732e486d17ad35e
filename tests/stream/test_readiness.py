"""What is found out about a process from its probe."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from sagestream.playground.embedded import free_port
from stream.config import LOOPBACK
from stream.probe import Probe, start_probe
from stream.readiness import ask_process
from tests.scripted import scripted


@contextmanager
def probe(words: dict[str, str]) -> Iterator[Probe]:
    made = start_probe(0, lambda: words)
    yield made
    made.close()


def test_a_ready_process_says_what_it_needs() -> None:
    with probe({"database": "ok", "model": "waiting for the first model"}) as made:
        found = ask_process("worker", LOOPBACK, made.port, timeout_seconds=5)
    assert (found.state, found.said, found.address) == ("ready", "", f"port {made.port}")
    assert found.words == {"database": "ok", "model": "waiting for the first model"}


def test_a_process_that_is_not_ready_says_what_is_wrong() -> None:
    with probe({"database": "ok", "kafka": "away"}) as made:
        found = ask_process("worker", LOOPBACK, made.port, timeout_seconds=5)
    assert (found.state, found.said) == ("not ready", "kafka: away")


def test_a_process_that_is_away_is_told_as_away() -> None:
    found = ask_process("monitor", LOOPBACK, free_port(), timeout_seconds=5)
    assert (found.state, found.said) == ("away", "nobody answers: `sagestream monitor` does not run")
    assert ask_process("monitor", LOOPBACK, 0, timeout_seconds=5).state == "unknown"


def test_a_process_that_hangs_is_away_after_the_time() -> None:
    with socket.socket() as silent:
        silent.bind((LOOPBACK, 0))
        silent.listen()
        found = ask_process("serve", LOOPBACK, silent.getsockname()[1], timeout_seconds=0.2)
    assert found.state == "away"
    assert "timed out" in found.said


def test_a_process_that_answers_rubbish_is_away() -> None:
    def rubbish(connection: socket.socket) -> None:
        connection.recv(65536)  # to close a connection with something unread may lose the answer
        connection.sendall(b"rubbish\r\n\r\n")

    with scripted([rubbish]) as (url, _):
        found = ask_process("serve", LOOPBACK, int(url.rpartition(":")[2]), timeout_seconds=5)
    assert found.state == "away"
    assert "rubbish" in found.said
