"""The gateway with a small application and real sockets: slow, chunked, large and many requests."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from serving.web import gateway as module
from serving.web.bridge import Environ
from serving.web.gateway import Gateway
from serving.web.limits import TokenBuckets
from stream.liveness import Liveness
from tests.serving.web.running import connected, running
from tests.waiting import wait_until, without_waiting

BODY_SECONDS = 5.0
"""Slow bodies that took the threads would hold up others for as long."""
GET = b"GET /list HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /events/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"


class Application:
    """Echoes what it was asked. A POST waits for `gate`, as for a broker that does not answer."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.inside = 0
        self.environs: list[Environ] = []

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.environs.append(environ)
        if environ["REQUEST_METHOD"] == "POST":
            self.inside += 1
            self.gate.wait(20)
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"path": environ["PATH_INFO"], "body": body.decode()}).encode()]


def shows_a_key(environ: Environ) -> bool:
    return "HTTP_X_API_KEY" in environ


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def port(application: Application) -> Iterator[int]:
    made = Gateway(application, threads=2, rate=TokenBuckets(0), unlimited=shows_a_key, body_seconds=BODY_SECONDS)
    with running(made) as port:
        yield port
        application.gate.set()


def answered(port: int, request: bytes = GET) -> tuple[int, Any]:
    with connected(port, request) as client:
        return client.answer()


def test_slow_bodies_take_no_thread_and_end_with_408(port: int) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(connected(port, POST + b"ab")) for _ in range(16)]
        for path in (b"/list", b"/healthz"):
            with without_waiting(BODY_SECONDS):
                assert answered(port, GET.replace(b"/list", path))[0] == 200
        for client in slow:
            status, body = client.answer()
            assert (status, "within 5 s" in body["detail"]) == (408, True)
            assert client.read() == b""


def test_a_body_in_chunks_is_read_whole(port: int) -> None:
    head = b"POST /events/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connected(port, head) as client:
        client.send(b"2\r\nab\r\n")
        client.send(b"3\r\ncde\r\n0\r\n\r\n")
        assert client.answer() == (200, {"path": "/events/", "body": "abcde"})


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_a_large_body_is_413(port: int, chunked: bool, known: bool) -> None:
    bound = module.MAX_BODY_BYTES if known else module.MAX_STRANGERS_BODY_BYTES
    key = b"X-API-Key: k\r\n" if known else b""
    for size, wanted in ((bound, 200), (bound + 1, 413)):
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        with connected(port, b"POST /events/ HTTP/1.1\r\nHost: x\r\n" + key + length + b"\r\n\r\n") as client:
            if chunked:
                client.send(b"%x\r\n" % size + b"a" * size + b"\r\n0\r\n\r\n")
            elif wanted == 200:
                client.send(b"a" * size)
            assert client.answer()[0] == wanted


def test_bodies_share_a_bound_on_memory(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HELD_BYTES", 8)
    with connected(port, POST + b"abcd") as first, connected(port, POST + b"abcd") as second:
        with connected(port, POST + b"abcd") as third:
            assert third.answer()[0] == 503
        known = POST.replace(b"Host", b"X-API-Key: k\r\nHost") + b"abcde"
        assert answered(port, known)[0] == 200
        first.send(b"e")
        assert first.answer()[0] in (200, 503)
        second.close()
    wait_until(lambda: answered(port, POST + b"abcde")[0] == 200)  # what was held is free again


def test_writers_that_wait_never_delay_readers(port: int, application: Application) -> None:
    application.gate.clear()
    bound = 2 * (1 + module.QUEUE_PER_THREAD)
    with ExitStack() as stack:
        posts = [stack.enter_context(connected(port, POST + b"abcde")) for _ in range(bound)]
        wait_until(lambda: application.inside == 2)
        statuses = [answered(port, POST + b"abcde")[0] for _ in range(8)]  # those sent before may not be read yet
        assert statuses[-1] == 503
        for _ in range(10):
            assert answered(port)[0] == 200  # while both threads of the writers are held
        time.sleep(module.QUEUE_SECONDS)  # the age of the queue is what is tested
        application.gate.set()
        found = sorted(client.answer()[0] for client in posts)
    assert found == [200] * 2 + [503] * (bound - 2)
    assert application.inside == 2  # what waited too long is not sent late


def test_a_request_that_is_open_when_the_server_stops_is_answered(application: Application) -> None:
    application.gate.clear()
    stopped = threading.Event()
    made = Gateway(application, threads=2, rate=TokenBuckets(0), on_stop=stopped.set)
    with ExitStack() as stack:
        with running(made) as port:
            waiting = stack.enter_context(connected(port, POST + b"abcde"))
            wait_until(lambda: application.inside == 1)
        status, body = waiting.answer()
        application.gate.set()
    assert (status, "stops" in body["detail"], stopped.is_set()) == (503, True, True)


def test_one_address_has_a_rate_and_the_key_has_none(application: Application) -> None:
    made = Gateway(application, threads=2, rate=TokenBuckets(1.0, clock=lambda: 0.0), unlimited=shows_a_key)
    with running(made, proxy_headers=True, forwarded_allow_ips=["127.0.0.1/32"]) as port:
        request = GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
        assert [answered(port, request)[0] for _ in range(4)] == [200, 200, 429, 429]
        assert answered(port, request.replace(b".7", b".8"))[0] == 200
        assert answered(port, request.replace(b"/list", b"/healthz"))[0] == 200
        assert answered(port, request.replace(b"Host", b"X-API-Key: k\r\nHost"))[0] == 200
        assert answered(port)[0] == 200  # this machine


def test_the_environment_of_a_request_is_made_of_the_request_alone(
    port: int, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_X_API_KEY", "of the process")
    headers = b"Host: x\r\nX_Api_Key: forged\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n"
    answered(port, b"GET /a%2Fb%C3%BC?k=1 HTTP/1.1\r\n" + headers)
    (environ,) = application.environs
    assert "HTTP_X_API_KEY" not in environ
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/a/bü"
    assert (environ["QUERY_STRING"], environ["CONTENT_LENGTH"]) == ("k=1", "0")


def test_the_event_loop_beats_until_the_server_stops() -> None:
    beats: list[str] = []

    class Counted(Liveness):
        def beat(self, doing: str = "working", *, within_seconds: float = 0.0) -> None:
            beats.append(doing)

    gateway = Gateway(Application(), threads=1, rate=TokenBuckets(0), liveness=Counted())
    with running(gateway):
        wait_until(lambda: beats)


@pytest.mark.parametrize(
    ("method", "path", "reads"),
    [
        ("GET", "/events/", True),
        ("HEAD", "/", True),
        ("POST", "/recommendations/", True),
        ("POST", "/api/session/recommend/tea", True),
        ("POST", "/events/", False),
        ("PUT", "/recommendations/", False),
    ],
)
def test_a_post_that_asks_for_lists_does_not_wait_behind_events(method: str, path: str, reads: bool) -> None:
    assert module.reads(method, path) is reads
