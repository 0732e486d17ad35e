"""Heads that do not end, are too long or are garbage cost a connection, and nobody else anything."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from serving.online.connections import MAX_HEAD_BYTES, DoorProtocol
from serving.online.protocol import RankAnswer, RankRequest
from tests.serving.online.running import NOW, Opened, opened

ASKED = RankRequest()
ANSWERED = (200, RankAnswer(model_version="m1", as_of=NOW, item_keys=[], scores=[]))


class Hurried(DoorProtocol):
    head_seconds = 0.1


@pytest.fixture(scope="module")
def ranker() -> Iterator[Opened]:
    with opened(protocol=Hurried) as made:
        yield made


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


@pytest.mark.parametrize("head", [b"POST /ra", b"POST /rank HTTP/1.1\r\nHost: r\r\nX"])
def test_a_head_that_does_not_end_is_given_up(ranker: Opened, head: bytes) -> None:
    with ranker.connect() as connection:
        connection.sendall(head)
        assert ranker.ask(ASKED) == ANSWERED  # meanwhile
        with contextlib.suppress(ConnectionResetError):
            assert read_all(connection) == b""


def test_a_head_that_is_too_long_is_refused(ranker: Opened) -> None:
    with ranker.connect() as connection:
        connection.sendall(b"POST /rank HTTP/1.1\r\nX: " + b"x" * (MAX_HEAD_BYTES + 1))
        assert b" 400 " in read_all(connection).partition(b"\r\n")[0]


def test_garbage_is_refused(ranker: Opened) -> None:
    with ranker.connect() as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        assert b" 400 " in read_all(connection).partition(b"\r\n")[0]
    assert ranker.ask(ASKED) == ANSWERED
