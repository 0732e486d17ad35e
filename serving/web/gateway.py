"""Gateway: reads each request whole, within bounds, and only then lets a thread answer it.

Arrives: request heads from `serving.web.connections`. Leaves: the answer of `serving.web.wsgi`, or a refusal with its
reason: 408 (slow body), 413 (large body), 429 (too many requests from one address) or 503 (all threads are busy).

Readers and writers have threads of their own: while a broker that does not answer keeps every writer waiting, lists are
served. `/healthz` needs no thread. Rejected: granian over WSGI, where a thread waits for a slow body, and waitress,
which has one pool for all requests.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import orjson
from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

from serving.web.bridge import Answer, Environ, WsgiApplication, call, environ_of, send_answer, with_body
from serving.web.limits import LOOPBACK, TokenBuckets, client_group, is_within
from serving.web.metrics import ALIVE, ARRIVED, dropped
from stream.events import MAX_EVENT_BYTES
from stream.liveness import Liveness, Watchdog

BODY_SECONDS = 10.0
"""A client must send the body of a request within this time."""
MAX_BODY_BYTES = 1024 * 1024
MAX_STRANGERS_BODY_BYTES = MAX_EVENT_BYTES
"""The largest body without the key, which can only be one click on the shop page."""
MAX_HELD_BYTES = 32 * 1024 * 1024
"""The largest sum of such bodies that are in memory at one time. Those with the key do not wait for strangers."""
QUEUE_SECONDS = 1.0
"""A request that waited longer for a thread is refused, so the queue never grows old."""
QUEUE_PER_THREAD = 16
BEAT_SECONDS = 5.0
RETRY_AFTER_SECONDS = "2"

READS = frozenset({"GET", "HEAD", "OPTIONS"})
READING_POSTS = ("/recommendations/", "/api/session/recommend")
"""Posts that ask for lists. They must not wait behind events that wait for Kafka."""


def reads(method: str, path: str) -> bool:
    """Return whether a request only reads: it then has the threads that never wait for Kafka."""
    return method in READS or (method == "POST" and path.startswith(READING_POSTS))


class Refused(Exception):
    """The request is answered without the application. `close` ends the connection, because the body was not read."""

    def __init__(self, status: int, reason: str, detail: str, *, close: bool = True) -> None:
        super().__init__(detail)
        self.status, self.reason, self.detail, self.close = status, reason, detail, close


class _Gone(Exception):
    """The client closed the connection."""


class Gateway:
    """An ASGI application around a WSGI application.

    Args:
        application: The WSGI application.
        threads: The number of threads for readers, and for writers.
        rate: A bucket for each address.
        unlimited: Whether a request shows the key: it has no bound on its rate, and a larger body.
        body_seconds: The time in which a body must arrive.
        liveness: Gets a beat every `BEAT_SECONDS` while the event loop makes progress.
        on_stop: Called once, after the last answer.
    """

    def __init__(
        self,
        application: WsgiApplication,
        *,
        threads: int,
        rate: TokenBuckets,
        unlimited: Callable[[Environ], bool] = lambda environ: False,
        body_seconds: float = BODY_SECONDS,
        liveness: Liveness | None = None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._application = application
        self._readers = _Pool("readers", threads)
        self._writers = _Pool("writers", threads)
        self._rate = rate
        self._unlimited = unlimited
        self._body_seconds = body_seconds
        self._liveness = liveness or Liveness()
        self._on_stop = on_stop
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer one request, or follow the start and the end of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            try:
                answer = await self._answer(scope, receive)
            except Refused as refused:
                answer = _refusal(refused)
            except _Gone:
                return
            await send_answer(answer, send)

    async def _live(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await receive()
        beating = asyncio.create_task(self._keep_beating())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        beating.cancel()
        await asyncio.to_thread(self._on_stop)
        await send({"type": "lifespan.shutdown.complete"})

    async def _keep_beating(self) -> None:
        watchdog = Watchdog(self._liveness)
        try:
            while True:
                self._liveness.beat()
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            watchdog.close()

    async def _answer(self, scope: HTTPScope, receive: ASGIReceiveCallable) -> Answer:
        alive = scope["path"] == ALIVE
        environ = environ_of(scope)
        known = self._unlimited(environ)
        if not (alive or known or is_within(environ["REMOTE_ADDR"], LOOPBACK)):
            self._admit(environ["REMOTE_ADDR"])
        bound = MAX_BODY_BYTES if known else MAX_STRANGERS_BODY_BYTES
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_seconds):
                async for part in _parts(scope, receive, bound):
                    body += part
                    self._held_bytes += 0 if known else len(part)
                    if len(body) > bound:
                        raise _too_large(bound)
                    if not known and self._held_bytes > MAX_HELD_BYTES:
                        raise Refused(503, "memory", "too many bodies at one time: try again")
            environ = with_body(environ, bytes(body)) | {ARRIVED: time.perf_counter()}
            if alive:
                return call(self._application, environ)
            pool = self._readers if reads(scope["method"], scope["path"]) else self._writers
            return await pool.run(self._application, environ)
        except asyncio.CancelledError as error:  # uvicorn cancels what is open too long at the end
            raise Refused(503, "stopping", "the server stops: try again") from error
        except TimeoutError as error:
            detail = f"the body did not arrive within {self._body_seconds:g} s"
            raise Refused(408, "body_time", detail) from error
        finally:
            self._held_bytes -= 0 if known else len(body)

    def _admit(self, address: str) -> None:
        if not self._rate.take(client_group(address)):
            raise Refused(429, "rate", "too many requests from your address: try again")


class _Pool:
    """Threads with a bounded queue. Only the event loop calls `run`."""

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._bound = threads * (1 + QUEUE_PER_THREAD)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._inside = 0

    async def run(self, application: WsgiApplication, environ: Environ) -> Answer:
        """Call the application in a thread. Raises `Refused` when the queue is full, or when it took too long."""
        if self._inside >= self._bound:
            raise self._busy()
        self._inside += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._start, application, environ)
        future.add_done_callback(self._done)
        return await future

    def _done(self, _future: "asyncio.Future[Answer]") -> None:
        self._inside -= 1

    def _start(self, application: WsgiApplication, environ: Environ) -> Answer:
        if time.perf_counter() - environ[ARRIVED] > QUEUE_SECONDS:
            raise self._busy()
        return call(application, environ)

    def _busy(self) -> Refused:
        return Refused(503, f"busy_{self._name}", f"all {self._name} are busy: try again", close=False)


async def _parts(scope: HTTPScope, receive: ASGIReceiveCallable, bound: int) -> AsyncIterator[bytes]:
    """Yield the parts of the body. Raises `Refused` when its declared length is too large."""
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > bound:
            raise _too_large(bound)
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _Gone
        yield message["body"]
        more = message["more_body"]


def _too_large(bound: int) -> Refused:
    return Refused(413, "body_size", f"over {bound} bytes")


def _refusal(refused: Refused) -> Answer:
    dropped(refused.reason)
    headers = [("Content-Type", "application/json")]
    if refused.status in (429, 503):
        headers.append(("Retry-After", RETRY_AFTER_SECONDS))
    if refused.close:
        headers.append(("Connection", "close"))
    return Answer(refused.status, headers, orjson.dumps({"detail": refused.detail}))
