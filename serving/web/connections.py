"""Connections: bounds what one connection, one address and all addresses together may hold.

Arrives: bytes on a socket, read by uvicorn's parser. Leaves: complete request heads for `serving.web.gateway`, or a
closed connection. No thread waits for a client here, so a slow client costs only its own connection.

A client must send the head of a request within `HEAD_SECONDS`, take each part of an answer within `STALL_SECONDS`, and
leave the connection idle for at most `HEAD_SECONDS`. `serving.web.gateway` bounds the body.
"""

import asyncio
from asyncio import TimerHandle
from collections import Counter
from functools import partial
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.web.limits import LOOPBACK, client_group, is_within
from serving.web.metrics import dropped

HEAD_SECONDS = 10.0
STALL_SECONDS = 10.0
MAX_HEAD_BYTES = 32 * 1024
MAX_CONNECTIONS = 1000
"""The largest number of open connections in one web process."""
MAX_CONNECTIONS_PER_ADDRESS = 100
"""The largest number from one address. This machine and the trusted proxies have no such bound."""

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with deadlines and bounds. A subclass may change them, as the tests do."""

    head_seconds: ClassVar[float] = HEAD_SECONDS
    stall_seconds: ClassVar[float] = STALL_SECONDS
    max_connections: ClassVar[int] = MAX_CONNECTIONS
    max_per_address: ClassVar[int] = MAX_CONNECTIONS_PER_ADDRESS
    open_per_address: ClassVar[Counter[str]] = Counter()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._group = ""
        self._refused = False
        self._head_bytes = 0
        self._in_head = True
        self._messages = 0
        self._deadline: TimerHandle | None = None
        self._stall: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection. Answer 503 and close it when there are too many."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        self._group = client_group(address)
        self.open_per_address[self._group] += 1
        own = self.open_per_address[self._group]
        proxies = self.config.forwarded_allow_ips if self.config.proxy_headers else ()
        bounded = not is_within(address, (*LOOPBACK, *proxies))
        if len(self.connections) > self.max_connections or (bounded and own > self.max_per_address):
            self._refused = True
            dropped("connections")
            transport.write(_FULL)
            transport.close()
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.open_per_address[self._group] -= 1
        if self.open_per_address[self._group] <= 0:
            del self.open_per_address[self._group]
        for timer in (self._deadline, self._stall):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes. A head that is too long is answered with 400."""
        if self._refused:
            return
        in_head, messages = self._in_head, self._messages
        super().data_received(data)
        if in_head and self._in_head and messages == self._messages and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                dropped("head_size")
                self.send_400_response(f"The head of the request is over {MAX_HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        """Start the request. The gateway bounds the time for its body."""
        self._in_head, self._head_bytes = False, 0
        if self._deadline is not None:
            self._deadline.cancel()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the next bytes are the head of another request."""
        self._in_head = True
        self._messages += 1
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request. The client must take the answer in the same time."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._expect_head()

    def pause_writing(self) -> None:
        """Give a client that does not read a deadline."""
        super().pause_writing()
        self._stall = self.loop.call_later(self.stall_seconds, partial(self._abort, "stalled"))

    def resume_writing(self) -> None:
        """End that deadline."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()

    def _expect_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(self.head_seconds, partial(self._abort, "head_time"))

    def _abort(self, reason: str) -> None:
        """Close the connection and drop what the client did not read: `close` would wait until it reads."""
        dropped(reason)
        self.transport.abort()
