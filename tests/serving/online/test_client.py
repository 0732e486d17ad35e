"""The client against a real socket: every way in which a ranker can be away ends in time, with a reason."""

import socket
import threading
import time

import msgspec
import pytest
from prometheus_client import REGISTRY

from serving.breaker import Breaker
from serving.online.client import TIMEOUTS, RankerAway, RankerClient
from serving.online.protocol import RankAnswer, RankRefusal, RankRequest
from tests.scripted import Handler, scripted
from tests.serving.online.scripted import ANSWER, http, read_request, says
from tests.waiting import without_waiting

REQUEST = RankRequest(user_id="ann", k=2)
PATIENCE_MS = 5_000
SHORT_MS = 60
SLOW_MS = 1_000
"""Enough for an answer that must come, on a busy machine."""


def ask(url: str, timeout_ms: int = PATIENCE_MS) -> RankAnswer:
    client = RankerClient(url, timeout_ms=timeout_ms)
    try:
        return client.rank(REQUEST)
    finally:
        client.close()


def ended(result: str) -> float:
    return REGISTRY.get_sample_value("sagestream_ranker_requests_total", {"result": result}) or 0.0


def never(connection: socket.socket) -> None:
    """Take the request, and answer when the client has gone."""
    read_request(connection)
    connection.recv(1)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_the_answer_is_what_the_ranker_says() -> None:
    asked: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        asked.append(read_request(connection))
        connection.sendall(http(ANSWER))

    with scripted([handle]) as (url, _):
        assert ask(url) == ANSWER
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /rank HTTP/1.1\r\n")
    assert msgspec.msgpack.decode(body, type=RankRequest) == REQUEST


def test_one_connection_serves_many_requests() -> None:
    with scripted([says(*[http(ANSWER)] * 3)]) as (url, taken):
        client = RankerClient(url, timeout_ms=PATIENCE_MS)
        assert [client.rank(REQUEST) for _ in range(3)] == [ANSWER] * 3
        assert len(taken) == 1
        client.close()


def test_a_connection_that_the_ranker_closed_meanwhile_is_replaced() -> None:
    with scripted([says(http(ANSWER)), says(http(ANSWER))]) as (url, taken):
        client = RankerClient(url, timeout_ms=PATIENCE_MS)
        assert [client.rank(REQUEST) for _ in range(2)] == [ANSWER] * 2
        assert len(taken) == 2
        client.close()


def test_an_answer_that_ends_the_connection_is_the_last_on_it() -> None:
    with scripted([says(http(ANSWER, 200, "Connection: close"), http(ANSWER))]) as (url, taken):
        client = RankerClient(url, timeout_ms=PATIENCE_MS)
        assert [client.rank(REQUEST) for _ in range(2)] == [ANSWER] * 2
        assert len(taken) == 2
        client.close()


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (says(http(RankRefusal(reason="no model is published"), 409)), "no model is published"),
        (says(http(RankRefusal(reason="the queue is full"), 503)), "the queue is full"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), "another body than ours"),
        (says(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"), "another body than ours"),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "no answer of our door"),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), "no answer of our door"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"), "more than"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc"), "closed before the answer ended"),
        (says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000), "head of the answer"),
    ],
)
def test_what_is_no_ranking_is_told_in_words(handler: Handler, said: str) -> None:
    with scripted([handler]) as (url, _), pytest.raises(RankerAway, match=said):
        ask(url)


def test_nobody_there_is_told_at_once() -> None:
    with pytest.raises(RankerAway, match="refused"):
        ask(f"http://127.0.0.1:{closed_port()}")


def test_without_a_url_nobody_is_asked() -> None:
    client = RankerClient("", timeout_ms=PATIENCE_MS)
    assert not client.asks
    with pytest.raises(RankerAway, match="no ranker is set"):
        client.rank(REQUEST)


def drips(connection: socket.socket) -> None:
    """An answer of which a byte comes every ten milliseconds: each read succeeds, the whole would take 90 seconds."""
    read_request(connection)
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9000:
        connection.sendall(bytes([byte]))
        threading.Event().wait(0.01)


@pytest.mark.parametrize("handler", [never, drips])
def test_the_deadline_bounds_the_whole_exchange(handler: Handler) -> None:
    with scripted([handler]) as (url, _):
        began = time.monotonic()
        with without_waiting(30), pytest.raises(RankerAway, match=f"within {SHORT_MS} ms"):
            ask(url, SHORT_MS)
        assert time.monotonic() - began >= SHORT_MS / 1000


def test_a_name_server_that_is_silent_does_not_hold_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    real = socket.getaddrinfo

    def silent(host: str, port: int, *, type: int, flags: int) -> object:
        if not flags & socket.AI_NUMERICHOST:
            released.wait(90)
        return real("127.0.0.1" if not flags else host, port, type=type, flags=flags)

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    with without_waiting(30), pytest.raises(RankerAway, match=f"within {SHORT_MS} ms"):
        ask("http://ranker.test:1", SHORT_MS)
    released.set()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_after_timeouts_in_a_row_nobody_waits_until_one_request_has_tried() -> None:
    clock = Clock()
    with scripted([never] * TIMEOUTS + [says(http(ANSWER), http(ANSWER))]) as (url, taken):
        client = RankerClient(url, timeout_ms=SLOW_MS, breaker=Breaker(open_seconds=1.0, clock=clock))
        for _ in range(TIMEOUTS):
            with pytest.raises(RankerAway, match="within"):
                client.rank(REQUEST)
        waiting = ended("waiting")
        with pytest.raises(RankerAway, match="a moment ago"):
            client.rank(REQUEST)
        assert (len(taken), ended("waiting")) == (TIMEOUTS, waiting + 1)
        clock.now = 1.0
        assert client.rank(REQUEST) == ANSWER
        assert client.rank(REQUEST) == ANSWER
        client.close()


def test_one_slow_ranking_is_no_outage() -> None:
    with scripted([never, says(http(ANSWER))]) as (url, _):
        client = RankerClient(url, timeout_ms=SLOW_MS)
        with pytest.raises(RankerAway):
            client.rank(REQUEST)
        assert client.rank(REQUEST) == ANSWER
        client.close()


def test_a_ranker_that_came_back_is_asked_again_a_second_later() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    client = RankerClient(f"http://127.0.0.1:{closed_port()}", timeout_ms=PATIENCE_MS, breaker=breaker)
    for said in ("refused", "a moment ago"):
        with pytest.raises(RankerAway, match=said):
            client.rank(REQUEST)
    with scripted([says(http(ANSWER))]) as (url, _):
        back = RankerClient(url, timeout_ms=PATIENCE_MS, breaker=breaker)
        clock.now = 1.0
        assert back.rank(REQUEST) == ANSWER
        back.close()


def test_each_end_is_counted() -> None:
    before = {result: ended(result) for result in ("answered", "refused", "busy")}
    answers = [http(ANSWER), http(RankRefusal(reason="no"), 409), http(RankRefusal(reason="full"), 503)]
    with scripted([says(*answers)]) as (url, _):
        client = RankerClient(url, timeout_ms=PATIENCE_MS)
        client.rank(REQUEST)
        for _ in range(2):
            with pytest.raises(RankerAway):
                client.rank(REQUEST)
        client.close()
    assert {result: ended(result) - count for result, count in before.items()} == dict.fromkeys(before, 1.0)
