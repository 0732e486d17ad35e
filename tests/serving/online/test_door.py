"""The door against real sockets: what a client sends, or does not send, costs the others nothing."""

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from prometheus_client import REGISTRY
from sqlalchemy.exc import OperationalError

from graphstore.queries import HistoryRow
from serving.online import door
from serving.online.client import RankerAway, RankerClient
from serving.online.connection import get, post
from serving.online.door import HISTORY_THREADS, MAX_BODY_BYTES
from serving.online.protocol import PATH, RankAnswer, RankRequest
from serving.online.ranking import NotRanked
from tests.serving.online.running import NOW, WAIT_SECONDS, Opened, Scripted, echo, opened
from tests.waiting import wait_until

HISTORIES = {"ann": [(7, 1, 0), (9, 2, 3)]}
ASKED = RankRequest(user_id="ann", k=3)
ANSWERED = (200, RankAnswer(model_version="m1", as_of=NOW, item_keys=[7, 9], scores=[3.0, 3.0]))
SHORT_SECONDS = 0.1


def known(users: Sequence[str]) -> Mapping[str, Sequence[HistoryRow]]:
    return {user: HISTORIES[user] for user in users if user in HISTORIES}


@pytest.fixture(scope="module")
def ranker() -> Iterator[Opened]:
    with opened(histories=known, body_seconds=SHORT_SECONDS) as made:
        yield made


def refused(kind: str) -> float:
    return REGISTRY.get_sample_value("sagestream_ranker_refused_total", {"reason": kind}) or 0.0


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def test_a_shopper_is_ranked_with_their_stored_events(ranker: Opened) -> None:
    assert ranker.ask(ASKED) == ANSWERED


def test_an_unknown_shopper_and_a_session_without_an_id_have_none(ranker: Opened) -> None:
    for request in (RankRequest(user_id="nobody"), RankRequest()):
        assert ranker.ask(request) == (200, RankAnswer(model_version="m1", as_of=NOW, item_keys=[], scores=[]))


def test_the_client_and_the_door_understand_each_other(ranker: Opened) -> None:
    client = RankerClient(ranker.url, timeout_ms=int(WAIT_SECONDS * 1000))
    for _ in range(3):
        assert (200, client.rank(ASKED)) == ANSWERED
    client.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"{}",
        b"\xff" * 500,
        msgspec.msgpack.encode([]),
        msgspec.msgpack.encode({"k": 0}),
        msgspec.msgpack.encode({"k": 10**9}),
        msgspec.msgpack.encode({"user_id": ""}),
        msgspec.msgpack.encode({"user_id": "x" * 200}),
        msgspec.msgpack.encode({"session": [{"item_id": "a"}] * 300}),
        msgspec.msgpack.encode({"hello": 1}),
        msgspec.msgpack.encode({"user_id": 5}),
        b"\x81\xa7user_id\xa2\xff\xfe",
    ],
)
def test_what_is_no_request_is_told_so(ranker: Opened, body: bytes) -> None:
    before = refused("malformed")
    status, said = ranker.ask(body)
    assert (status, refused("malformed")) == (400, before + 1)
    assert isinstance(said, str) and said.startswith("no request of the ranker: ")


@pytest.mark.parametrize("asked", [b"GET /rank", b"POST /", b"DELETE /rank", b"GET /metrics"])
def test_other_paths_are_not_there(ranker: Opened, asked: bytes) -> None:
    assert ranker.exchange(asked + b" HTTP/1.1\r\nHost: r\r\n\r\n").status == 404


def test_it_says_whether_it_is_ready(ranker: Opened) -> None:
    answer = ranker.exchange(get(ranker.address, "/readyz"))
    assert (answer.status, answer.body) == (200, b'{"model":"ok"}')


def test_a_body_that_is_told_to_be_too_large_is_not_read(ranker: Opened) -> None:
    with ranker.connect() as connection:
        connection.sendall(b"POST /rank HTTP/1.1\r\nHost: r\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1))
        assert b" 413 " in read_all(connection).partition(b"\r\n")[0]


def test_a_body_that_grows_too_large_is_given_up(ranker: Opened) -> None:
    with ranker.connect() as connection:
        connection.sendall(b"POST /rank HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        try:
            for _ in range(MAX_BODY_BYTES // 65536 + 2):
                connection.sendall(chunk)
            said = read_all(connection)
        except ConnectionError:  # it closed while we were still sending
            said = b" 413 "
        assert b" 413 " in said
    assert ranker.ask(ASKED) == ANSWERED


def test_a_body_that_does_not_come_is_given_up(ranker: Opened) -> None:
    with ranker.connect() as connection:
        connection.sendall(b"POST /rank HTTP/1.1\r\nHost: r\r\nContent-Length: 10\r\n\r\nabc")
        assert ranker.ask(ASKED) == ANSWERED  # meanwhile
        assert b" 408 " in read_all(connection).partition(b"\r\n")[0]


def test_many_clients_at_once_get_each_their_own_answer(ranker: Opened) -> None:
    client = RankerClient(ranker.url, timeout_ms=int(WAIT_SECONDS * 1000))
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda k: client.rank(RankRequest(user_id="ann", k=k)), range(1, 101)))
    assert [answer.scores[0] for answer in answers] == [float(k) for k in range(1, 101)]
    client.close()


class Gate:
    """Rankings that wait until the test lets them."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()

    def answers(self, request: RankRequest, history: Sequence[HistoryRow]) -> RankAnswer:
        self.begun.set()
        assert self.open.wait(WAIT_SECONDS)
        return echo(request, history)


def test_a_full_queue_refuses_at_once_and_answers_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MAX_WAITING", 3)
    gate = Gate()
    with opened(Scripted(gate.answers)) as ranker, ThreadPoolExecutor(12) as threads:
        first = threads.submit(ranker.ask, RankRequest())
        assert gate.begun.wait(WAIT_SECONDS)
        request = post(ranker.address, PATH, msgspec.msgpack.encode(RankRequest()))
        connections = [ranker.connect() for _ in range(8)]
        for connection in connections:
            connection.sendall(request)
        gate.open.set()
        assert first.result()[0] == 200
        statuses = [connection.recv(65536).split(b" ")[1] for connection in connections]
        for connection in connections:
            connection.close()
    assert statuses.count(b"200") in (3, 4)  # the first may still be counted when they come
    assert statuses.count(b"503") == 8 - statuses.count(b"200")


def test_whoever_has_given_up_is_not_ranked_any_more() -> None:
    gate, ranked = Gate(), []

    def answers(request: RankRequest, history: Sequence[HistoryRow]) -> RankAnswer:
        ranked.append(request.k)
        if request.k == 2:
            threading.Event().wait(3 * SHORT_SECONDS)
        return gate.answers(request, history)

    before = refused("late")
    with opened(Scripted(answers), patience_seconds=SHORT_SECONDS) as ranker, ThreadPoolExecutor(1) as threads:
        first = threads.submit(ranker.ask, RankRequest(k=1))
        assert gate.begun.wait(WAIT_SECONDS)
        connections = [ranker.connect() for _ in (2, 3)]
        for k, connection in enumerate(connections, 2):  # read together, when the first is done
            connection.sendall(post(ranker.address, PATH, msgspec.msgpack.encode(RankRequest(k=k))))
        gate.open.set()
        assert first.result()[0] == 200
        assert [connection.recv(65536).split(b" ")[1] for connection in connections] == [b"200", b"503"]
        for connection in connections:
            connection.close()
    assert (ranked, refused("late")) == ([1, 2], before + 1)


def test_a_database_that_hangs_holds_up_nobody_but_who_needs_it() -> None:
    released = threading.Event()

    def hang(users: Sequence[str]) -> Mapping[str, Sequence[HistoryRow]]:
        released.wait(WAIT_SECONDS)
        return {}

    with opened(histories=hang, patience_seconds=1.0) as ranker, ThreadPoolExecutor(8) as threads:
        client = RankerClient(ranker.url, timeout_ms=1000)
        waiting = [threads.submit(client.rank, RankRequest(user_id="ann")) for _ in range(8)]
        assert client.rank(RankRequest()).item_keys == []
        assert not any(one.done() for one in waiting)
        for one in waiting:  # told before the client's own deadline: it must not believe that the ranker is away
            with pytest.raises(RankerAway, match="the database does not answer in time"):
                one.result()
        released.set()
        client.close()


def test_a_database_that_hangs_keeps_a_bounded_number_of_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MAX_WAITING", 3)
    released = threading.Event()
    begun: list[str] = []

    def hang(users: Sequence[str]) -> Mapping[str, Sequence[HistoryRow]]:
        begun.extend(users)
        released.wait(WAIT_SECONDS)
        return known(users)

    silent = (503, "the database does not answer in time")
    with opened(histories=hang, patience_seconds=0.05) as ranker:
        for number in range(20):  # each of them is told before the next one asks
            assert ranker.ask(RankRequest(user_id=f"u{number}")) == silent
        released.set()
        wait_until(lambda: ranker.ask(ASKED) == ANSWERED)
    assert set(begun) - {"ann"} == {f"u{number}" for number in range(HISTORY_THREADS + 3)}


def test_a_database_that_is_away_is_told_to_who_needs_it() -> None:
    def fail(users: Sequence[str]) -> Mapping[str, Sequence[HistoryRow]]:
        raise OperationalError("select 1", {}, ConnectionRefusedError("connection refused"))

    with opened(histories=fail) as ranker:
        assert ranker.ask(ASKED) == (503, "connection refused")
        assert ranker.ask(RankRequest())[0] == 200


def test_a_fault_of_the_model_is_logged_and_the_next_request_is_ranked(caplog: pytest.LogCaptureFixture) -> None:
    def answers(request: RankRequest, history: Sequence[HistoryRow]) -> RankAnswer:
        if request.k == 1:
            raise FloatingPointError("model m1 scores NaN")
        if request.k == 2:
            raise NotRanked("no_model", "no model is published yet")
        return echo(request, history)

    with opened(Scripted(answers)) as ranker:
        assert ranker.ask(RankRequest(k=1)) == (500, "model m1 scores NaN")
        assert ranker.ask(RankRequest(k=2)) == (409, "no model is published yet")
        assert ranker.ask(RankRequest(k=3))[0] == 200
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "a request could not be ranked"
    ]


def test_a_stop_answers_what_is_under_way_and_takes_nothing_more() -> None:
    gate = Gate()
    with opened(Scripted(gate.answers)) as ranker, ThreadPoolExecutor(2) as threads:
        answer = threads.submit(ranker.ask, RankRequest())
        assert gate.begun.wait(WAIT_SECONDS)
        ranker.server.should_exit = True
        gate.open.set()
        assert answer.result()[0] == 200
    with pytest.raises(ConnectionRefusedError):
        ranker.connect()


def test_nothing_of_a_session_is_logged(ranker: Opened, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    secret = "item-that-nobody-else-names"
    body = msgspec.msgpack.encode({"session": [{"item_id": secret}], "user_id": None})
    assert ranker.ask(body)[0] == 200
    assert ranker.ask(body + b"\xc1")[0] == 400
    assert secret not in caplog.text
