"""Connection: sends calls over HTTP with a pool of connections, and again where that is safe.

Arrives: a `Call`. Leaves: the decoded answer, or an error of `serving.client.errors`. Next: the shop.

httpx carries them, since it has one interface for both ways to wait, with connection pools and timeouts of each phase.
Rejected: urllib3, which cannot be awaited, so that the asynchronous client would need a second library.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec

from serving.client.buffer import AsyncEventBuffer, EventBuffer, Limits
from serving.client.call import Call
from serving.client.doors import AwaitedDoors, BlockingDoors
from serving.client.errors import SagestreamError, Unavailable, UnexpectedAnswer, error_of
from serving.client.retry import Retry

T = TypeVar("T")

TIMEOUT_SECONDS = 5.0
CONNECTIONS = 20
# As a library of Python, so that the server takes it for no browser where no key vouches for it.
USER_AGENT = "python-sagestream"
_JSON = {"Content-Type": "application/json"}

_encode = msgspec.json.Encoder().encode


def _settings(url: str, key: str | None, timeout_seconds: float, connections: int) -> dict[str, Any]:
    """Return what httpx needs. Raises `ValueError` for an address that is none."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} does not begin with http:// or https://")
    shown = {"User-Agent": USER_AGENT, **({"Authorization": f"Bearer {key}"} if key else {})}
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return {"base_url": url.rstrip("/"), "headers": shown, "timeout": timeout_seconds, "limits": limits}


def _request(client: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
    content = None if call.body is None else _encode(call.body)
    headers = {**(_JSON if content is not None else {}), **call.headers}
    return client.build_request(
        call.method,
        call.path,
        params=tuple(call.query) or None,
        content=content,
        headers=headers,
    )


def _answer(call: Call[T], response: httpx.Response) -> T:
    if response.status_code >= 300:
        raise error_of(response.status_code, response.headers, response.content, now=datetime.now(UTC))
    try:
        return call.read(response.content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnexpectedAnswer(f"not an answer of this API: {error}", status=response.status_code) from error


def _away(error: httpx.RequestError) -> SagestreamError:
    """Return the error for one of the network. Without a connection, the server has certainly done nothing."""
    if isinstance(error, httpx.DecodingError):
        return UnexpectedAnswer(f"the answer cannot be read: {error}")
    untouched = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return Unavailable(f"{type(error).__name__}: {error}", untouched=untouched)


class _Tries:
    """The tries of one call, and how long to wait before the next."""

    def __init__(self, retry: Retry, call: Call[Any]) -> None:
        self._retry, self._call = retry, call
        self._began, self._tried = time.monotonic(), 0

    def pause_after(self, error: SagestreamError, *, draw: float) -> float:
        """Return the seconds to wait before the call is tried again. Raises the error when it is not."""
        self._tried += 1
        spent = time.monotonic() - self._began
        pause = self._retry.pause(error, self._call.repeat, tried=self._tried, spent=spent, draw=draw)
        if pause is None:
            raise error
        return pause


class Sagestream(BlockingDoors):
    """The API of one server. Threads may share it; a process that forks makes one in each child.

    Args:
        url: Where the server answers, as `https://recommend.shop.example`.
        key: A key of the role that the calls need; without one, only what is open can be called.
        timeout_seconds: How long one try may take in each of its phases: connect, send, answer.
        retry: How a call that failed is tried again.
        connections: At most so many at once.
        transport: What carries the requests in place of the network, for tests.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retry: Retry | None = None,
        connections: int = CONNECTIONS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.retry = retry or Retry()
        self._http = httpx.Client(**_settings(url, key, timeout_seconds, connections), transport=transport)
        self.sleep: Callable[[float], object] = time.sleep
        """Waits so many seconds between two tries."""
        self.draw: Callable[[], float] = random.random
        """Draws the random part of a pause, from 0 to 1."""

    def send(self, call: Call[T]) -> T:
        """Return the answer of a call. Raises `SagestreamError`."""
        tries = _Tries(self.retry, call)
        while True:
            try:
                return self._once(call)
            except SagestreamError as error:
                pause = tries.pause_after(error, draw=self.draw())
            self.sleep(pause)

    def _once(self, call: Call[T]) -> T:
        try:
            response = self._http.send(_request(self._http, call))
        except httpx.RequestError as error:
            raise _away(error) from error
        return _answer(call, response)

    def buffer(self, limits: Limits | None = None) -> EventBuffer:
        """Return a buffer that tells events in the background. Close it, or use it as a context manager."""
        return EventBuffer(self.events, limits or Limits())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncSagestream(AwaitedDoors):
    """The same for asyncio: each call is awaited. One event loop uses it. The arguments are those of `Sagestream`."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retry: Retry | None = None,
        connections: int = CONNECTIONS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.retry = retry or Retry()
        self._http = httpx.AsyncClient(**_settings(url, key, timeout_seconds, connections), transport=transport)
        self.sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
        self.draw: Callable[[], float] = random.random

    async def send(self, call: Call[T]) -> T:
        """Return the answer of a call. Raises `SagestreamError`."""
        tries = _Tries(self.retry, call)
        while True:
            try:
                return await self._once(call)
            except SagestreamError as error:
                pause = tries.pause_after(error, draw=self.draw())
            await self.sleep(pause)

    async def _once(self, call: Call[T]) -> T:
        try:
            response = await self._http.send(_request(self._http, call))
        except httpx.RequestError as error:
            raise _away(error) from error
        return _answer(call, response)

    def buffer(self, limits: Limits | None = None) -> AsyncEventBuffer:
        """Return a buffer that tells events in the background. Use it as an asynchronous context manager."""
        return AsyncEventBuffer(self.events, limits or Limits())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
