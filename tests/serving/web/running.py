"""A gateway behind real sockets in this process, and a client that speaks slowly."""

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

from serving.web.connections import BoundedProtocol
from serving.web.gateway import Gateway
from tests.serving.served import served

WAIT_SECONDS = 90.0


@contextlib.contextmanager
def running(gateway: Gateway, protocol: type[BoundedProtocol] = BoundedProtocol, **settings: Any) -> Iterator[int]:
    """Serve on a free port of this machine; the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    chosen = {"timeout_graceful_shutdown": 1, "proxy_headers": False, **settings}
    with served(gateway, protocol, listening, **chosen):
        yield int(listening.getsockname()[1])


class Connection:
    """One connection on which bytes are sent as the test likes."""

    def __init__(self, port: int, sent: bytes = b"", *, receive_bytes: int | None = None) -> None:
        self._socket = socket.socket()
        if receive_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.settimeout(WAIT_SECONDS)
        self._socket.connect(("127.0.0.1", port))
        self.send(sent)

    def send(self, sent: bytes) -> None:
        self._socket.sendall(sent)

    def read(self) -> bytes:
        """All bytes until the server closes the connection."""
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while part := self._socket.recv(65536):
                received += part
        return received

    def answer(self) -> tuple[int, Any]:
        """One answer with a length: its status, and its body as JSON."""
        received = b""
        while b"\r\n\r\n" not in received:
            part = self._socket.recv(65536)
            assert part, received
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(65536)
        return int(head.split(b" ")[1]), json.loads(body)

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def connected(port: int, sent: bytes = b"", **options: Any) -> Iterator[Connection]:
    made = Connection(port, sent, **options)
    try:
        yield made
    finally:
        made.close()
