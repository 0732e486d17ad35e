"""What a ranker says on its connections, for `tests.scripted`."""

import socket

import msgspec

from serving.online.protocol import RankAnswer, RankRefusal
from tests.scripted import Handler

ANSWER = RankAnswer(model_version="m1", as_of=5, item_keys=[3, 1], scores=[2.0, 1.0])


def http(message: RankAnswer | RankRefusal, status: int = 200, *fields: str) -> bytes:
    """The bytes of an answer, with more lines of its head."""
    body = msgspec.msgpack.encode(message)
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_request(connection: socket.socket) -> bytes:
    """One request, whole; empty when the client has gone."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65536)
        if not part:
            return b""
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def says(*answers: bytes) -> Handler:
    """Answer each request of the connection in turn, then close it."""

    def handle(connection: socket.socket) -> None:
        for answer in answers:
            if not read_request(connection):
                return
            connection.sendall(answer)

    return handle
