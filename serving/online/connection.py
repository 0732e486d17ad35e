"""Connection: HTTP/1.1 over one kept socket, with one deadline for the whole exchange.

Rejected: `http.client`, whose timeout counts for each read, so that an answer which drips byte by byte has no bound.
Rejected: urllib3, which is no dependency of ours and has the same timeouts.
"""

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from graphstore.addresses import check_ranker_url

HTTP_PORT = 80
MAX_HEAD_BYTES = 8 * 1024
MAX_ANSWER_BYTES = 4 * 1024 * 1024
_CHUNK = 64 * 1024
_END = b"\r\n\r\n"


class BrokenExchange(OSError):
    """The other side closed the connection, or its answer is not the HTTP that the door speaks."""


@dataclass(frozen=True)
class DoorAddress:
    """Host and port of a server."""

    host: str
    port: int


def door_of(url: str) -> DoorAddress:
    """Return the server in a URL such as `http://127.0.0.1:8001`. Raises `ValueError` for any other form."""
    parts = urlsplit(check_ranker_url(url))
    return DoorAddress(parts.hostname or "", parts.port or HTTP_PORT)


@dataclass(frozen=True)
class HttpAnswer:
    """A whole answer. `stays` says whether the connection takes another request."""

    status: int
    body: bytes
    stays: bool


class Connection:
    """One open socket. `deadline` is of `time.monotonic`, in seconds. Not for two threads at once."""

    def __init__(self, door: DoorAddress, *, deadline: float) -> None:
        """Connect. Raises `OSError`, of which `TimeoutError` is one."""
        family, address = _resolve(door, deadline)
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.settimeout(_left(deadline))
            self._socket.connect(address)
        except BaseException:
            self._socket.close()
            raise

    def exchange(self, request: bytes, *, deadline: float) -> HttpAnswer:
        """Send a request and return its answer. Raises `OSError`; then the connection can only be closed."""
        self._socket.settimeout(_left(deadline))
        self._socket.sendall(request)
        received = b""
        while (end := received.find(_END)) < 0:
            if len(received) > MAX_HEAD_BYTES:
                raise BrokenExchange(f"the head of the answer is over {MAX_HEAD_BYTES} bytes")
            received += self._receive(deadline)
        status, length, stays = _read_head(received[:end])
        body = bytearray(received[end + len(_END) :])
        while len(body) < length:
            body += self._receive(deadline)
        return HttpAnswer(status, bytes(body[:length]), stays and len(body) == length)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _receive(self, deadline: float) -> bytes:
        self._socket.settimeout(_left(deadline))
        part = self._socket.recv(_CHUNK)
        if not part:
            raise BrokenExchange("the connection was closed before the answer ended")
        return part


def post(door: DoorAddress, path: str, body: bytes) -> bytes:
    """Return the bytes of a POST request."""
    head = f"POST {path} HTTP/1.1\r\nHost: {door.host}\r\nContent-Type: application/msgpack\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(door: DoorAddress, path: str) -> bytes:
    """Return the bytes of a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: {door.host}\r\n\r\n".encode()


def _read_head(head: bytes) -> tuple[int, int, bool]:
    """Return status, length of the body, and whether the connection stays open."""
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    version, _, rest = first.partition(" ")
    status, length = rest[:3], fields.get("content-length", "")
    if version != "HTTP/1.1" or not status.isdecimal() or not length.isdecimal():
        raise BrokenExchange(f"no answer of our door: {first[:80]!r}")
    if int(length) > MAX_ANSWER_BYTES:
        raise BrokenExchange(f"the answer has {length} bytes, more than {MAX_ANSWER_BYTES}")
    return int(status), int(length), fields.get("connection", "").lower() != "close"


def _left(deadline: float) -> float:
    """Return the seconds until the deadline. Raises `TimeoutError` when it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return left


_Found: TypeAlias = "tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]"


def _resolve(door: DoorAddress, deadline: float) -> _Found:
    """Return family and address. No timeout of a socket bounds a name server: a thread of its own waits for it."""
    with suppress(socket.gaierror):  # of a name
        return _look_up(door, socket.AI_NUMERICHOST)[0]
    found: list[_Found] = []
    failed: list[OSError] = []

    def ask() -> None:
        try:
            found.extend(_look_up(door, 0))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=ask, name="ranker-name", daemon=True)
    thread.start()
    thread.join(_left(deadline))
    if found:
        return found[0]
    raise failed[0] if failed else TimeoutError(f"no name server has told the address of {door.host} in time")


def _look_up(door: DoorAddress, flags: int) -> list[_Found]:
    rows = socket.getaddrinfo(door.host, door.port, type=socket.SOCK_STREAM, flags=flags)
    return [(row[0], row[4]) for row in rows]
