"""Connections: bounds what a client of the door may hold: the time and the size of a request's head.

Arrives: bytes on a socket, read by uvicorn's parser. Leaves: complete heads for `serving.online.door`, which bounds the
body, or a closed connection. `serving.web.connections` does the same for strangers, with Django's settings and metrics
behind it, which this process does not load.
"""

import asyncio
from asyncio import TimerHandle
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 5.0
"""A client must send a head, once begun, within this time."""
IDLE_SECONDS = 75
"""A connection without a request is closed after this time."""
MAX_HEAD_BYTES = 16 * 1024
MAX_CONNECTIONS = 512


class DoorProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with these bounds. A subclass may change them, as the tests do."""

    head_seconds: ClassVar[float] = HEAD_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        self._deadline: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or close it when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        self._expect_head(IDLE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes. A head that is too long ends the connection."""
        if self._in_head:
            if not self._head_bytes:
                self._expect_head(self.head_seconds)
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head of the request is over {MAX_HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        """Start the request."""
        self._in_head, self._head_bytes = False, 0
        self._cancel()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the next bytes are the head of another request."""
        self._in_head = True
        super().on_message_complete()

    def _expect_head(self, seconds: float) -> None:
        self._cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
