"""The door on a real socket, in a thread of the test's process."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from uvicorn import Server

from graphstore.queries import HistoryRow
from serving.http_server import listen
from serving.online.connection import Connection, HttpAnswer, post
from serving.online.connection import DoorAddress as Address
from serving.online.connections import DoorProtocol
from serving.online.door import Door
from serving.online.protocol import PATH, RankAnswer, RankRefusal, RankRequest
from tests.serving.served import served

WAIT_SECONDS = 30.0
PATIENCE_SECONDS = 20.0
NOW = 1_700_000_000_000

Answers = Callable[[RankRequest, Sequence[HistoryRow]], RankAnswer]


def echo(request: RankRequest, history: Sequence[HistoryRow]) -> RankAnswer:
    """The keys are those of the history, and k is the score."""
    keys = [key for key, *_ in history]
    return RankAnswer(model_version="m1", as_of=NOW, item_keys=keys, scores=[float(request.k)] * len(keys))


@dataclass(frozen=True)
class Scripted:
    """In place of a `OnlineRanking`: answers what the test says."""

    answers: Answers = echo

    def rank(self, request: RankRequest, stored: Sequence[HistoryRow], *, now: int) -> RankAnswer:
        assert now == NOW
        return self.answers(request, stored)


@dataclass(frozen=True)
class Opened:
    """A door that answers."""

    address: Address
    server: Server

    @property
    def url(self) -> str:
        return f"http://{self.address.host}:{self.address.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection((self.address.host, self.address.port), timeout=WAIT_SECONDS)

    def exchange(self, request: bytes) -> HttpAnswer:
        deadline = time.monotonic() + WAIT_SECONDS
        connection = Connection(self.address, deadline=deadline)
        with contextlib.closing(connection):
            return connection.exchange(request, deadline=deadline)

    def ask(self, request: RankRequest | bytes) -> tuple[int, RankAnswer | str]:
        """The status, and the answer or the reason of the refusal."""
        body = request if isinstance(request, bytes) else msgspec.msgpack.encode(request)
        answer = self.exchange(post(self.address, PATH, body))
        if answer.status == 200:
            return 200, msgspec.msgpack.decode(answer.body, type=RankAnswer)
        return answer.status, msgspec.msgpack.decode(answer.body, type=RankRefusal).reason


@contextlib.contextmanager
def opened(
    ranking: Any = None,
    histories: Callable[[Sequence[str]], Mapping[str, Sequence[HistoryRow]]] = lambda users: {},
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    body_seconds: float = WAIT_SECONDS,
    protocol: type[DoorProtocol] = DoorProtocol,
) -> Iterator[Opened]:
    door = Door(
        ranking or Scripted(),
        histories,
        ready=lambda: {"model": "ok"},
        patience_seconds=patience_seconds,
        now=lambda: NOW,
        body_seconds=body_seconds,
    )
    listening = listen("127.0.0.1", 0)
    address = Address(*listening.getsockname())
    with served(door, protocol, listening, timeout_graceful_shutdown=int(WAIT_SECONDS)) as server:
        yield Opened(address, server)
