from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from io import BytesIO
from typing import Any, ClassVar

import pytest
from prometheus_client import REGISTRY

from serving.web import connections
from serving.web.bridge import Environ
from serving.web.connections import BoundedProtocol
from serving.web.gateway import Gateway
from serving.web.limits import TokenBuckets
from tests.serving.web.running import Connection, connected, running
from tests.waiting import wait_until, without_waiting

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE_BYTES = 32 * 1024 * 1024


class Impatient(BoundedProtocol):
    head_seconds = 0.4
    stall_seconds = 0.4
    max_connections = 12
    max_per_address = 3
    open_per_address: ClassVar[Counter[str]] = Counter()


class Patient(Impatient):
    """For tests of numbers, which may take any time."""

    head_seconds = stall_seconds = 60.0
    open_per_address: ClassVar[Counter[str]] = Counter()


def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", str(LARGE_BYTES if environ["PATH_INFO"] == "/large" else 2))])
    if environ["PATH_INFO"] == "/large":
        file: Iterable[bytes] = environ["wsgi.file_wrapper"](BytesIO(bytes(LARGE_BYTES)))
        return file
    return [b"ok"]


@pytest.fixture
def port() -> Iterator[int]:
    with running(Gateway(application, threads=2, rate=TokenBuckets(0)), Impatient) as port:
        yield port


@pytest.fixture
def patient_port() -> Iterator[int]:
    with running(Gateway(application, threads=2, rate=TokenBuckets(0)), Patient) as port:
        yield port


def counted(reason: str) -> float:
    return REGISTRY.get_sample_value("sagestream_http_dropped_total", {"reason": reason}) or 0.0


def answers(port: int) -> bool:
    with connected(port, GET.replace(b"Host", b"Connection: close\r\nHost")) as client:
        return b" 200 " in client.read()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_head_that_does_not_come_ends_the_connection(port: int, sent: bytes) -> None:
    before = counted("head_time")
    with without_waiting(30), connected(port, sent) as client:
        assert client.read() == b""
    assert counted("head_time") == before + 1


def test_an_idle_connection_ends_after_its_answer(port: int) -> None:
    with connected(port, GET + GET) as client:
        assert client.read().count(b" 200 ") == 2


def test_a_client_that_does_not_read_is_dropped_and_others_are_served(port: int) -> None:
    before = counted("stalled")
    with connected(port, GET.replace(b"/", b"/large", 1), receive_bytes=4096) as client:
        assert answers(port)
        wait_until(lambda: counted("stalled") == before + 1)
        assert len(client.read()) < LARGE_BYTES


def test_a_head_without_end_is_refused(port: int) -> None:
    with connected(port, b"GET / HTTP/1.1\r\nHost: x\r\n") as client:
        client.send(b"X-Long: " + b"a" * (connections.MAX_HEAD_BYTES + 1))
        assert b" 400 " in client.read()


def test_large_bodies_and_many_requests_on_one_connection_are_no_long_head(patient_port: int) -> None:
    size = 2 * connections.MAX_HEAD_BYTES
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    closing = GET.replace(b"Host", b"Connection: close\r\nHost")
    with connected(patient_port, 3 * post + 2999 * GET + closing) as client:
        assert client.read().count(b" 200 ") == 3003


def test_too_many_connections_are_refused_and_freed(patient_port: int) -> None:
    with ExitStack() as stack:
        for _ in range(Patient.max_connections):
            stack.enter_context(connected(patient_port))
        with connected(patient_port, GET) as one_more:
            assert one_more.read().startswith(b"HTTP/1.1 503")
    wait_until(lambda: answers(patient_port))
    wait_until(lambda: not Patient.open_per_address)


def test_one_address_has_its_own_bound_and_this_machine_has_no_other(
    patient_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        held: list[Connection] = [stack.enter_context(connected(patient_port)) for _ in range(Patient.max_per_address)]
        assert answers(patient_port)
        monkeypatch.setattr(connections, "LOOPBACK", ())
        with connected(patient_port, GET) as one_more:
            assert one_more.read().startswith(b"HTTP/1.1 503")
        assert len(held) == Patient.max_per_address
