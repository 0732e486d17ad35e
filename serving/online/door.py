"""Door: the private HTTP of the ranker, an ASGI application that ranks one request after the other.

Arrives: `POST /rank` with a `RankRequest` (msgpack). Leaves: a `RankAnswer`, or a `RankRefusal` with the status 400
(malformed), 408, 413, 409 (no such model), 503 (too many wait, or the database is away) or 500. Also `GET /readyz`.
Next: `serving.online.client`.

A ranking runs in the thread of the event loop: one core ranks one request at a time, and a thread of its own would only
add a wait for the interpreter. Between two rankings the loop reads what has come, so a full queue is refused at once.
Threads read histories: a database that hangs holds up whoever needs it, and no session without an id. Rejected: to
remember histories for a second. To read one takes 0.5 to 1.5 ms, and an event would count later.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import orjson
from prometheus_client import Counter, Histogram
from sqlalchemy.exc import SQLAlchemyError

from graphstore.errors import reason
from graphstore.queries import HistoryRow
from serving.online.protocol import PATH, READY_PATH, RankAnswer, RankRefusal, RankRequest
from serving.online.ranking import NotRanked, OnlineRanking
from stream.liveness import Liveness, Watchdog
from stream.probe import READY

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024
BODY_SECONDS = 5.0
"""A client must send the body of a request within this time."""
MAX_WAITING = 64
"""Requests that may wait for the one in hand. Whoever asks when it is full is refused at once."""
HISTORY_THREADS = 4
HISTORY_SHARE = 0.6
"""The part of the patience that a history may take. Whoever asks must hear that the database is away before they give
up on the ranker, which can still rank sessions without an id."""
SILENT_DATABASE = "the database does not answer in time"
BEAT_SECONDS = 5.0

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

STATUS = {
    "malformed": 400,
    "path": 404,
    "slow_body": 408,
    "unknown_model": 409,
    "no_model": 409,
    "large_body": 413,
    "failed": 500,
    "busy": 503,
    "late": 503,
    "database": 503,
    "starting": 503,
}
"""The kinds of refusals, with their status."""

_seconds = Histogram(
    "sagestream_ranker_seconds",
    "Seconds from a request that was read whole to its ranking, with its wait for the ones before it",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.04, 0.1, 0.25, 1.0),
)
_refused = Counter("sagestream_ranker_refused", "Requests that the ranker did not rank", ["reason"])


@dataclass(frozen=True)
class _Waiting:
    """A request that was read whole, with its history to come."""

    request: RankRequest
    arrived: float
    history: "asyncio.Future[Sequence[HistoryRow]] | None"
    answer: "asyncio.Future[RankAnswer]"


class _Gone(Exception):
    """The client closed the connection."""


class Life(Protocol):
    """What lives as long as the door. Threads call it."""

    def start(self) -> None:
        """Return when requests may come."""
        ...

    def close(self) -> None:
        """Stop."""
        ...


class Door:
    """The ASGI application.

    Args:
        ranking: Ranks a request with its history.
        histories: Returns the stored events by user id. Threads call it.
        ready: Returns the words for `/readyz`.
        patience_seconds: The deadline of whoever asks. A request that is older is not ranked any more.
        now: The time in epoch ms.
        life: Starts before the first request and closes after the last answer.
        body_seconds: The time in which a body must arrive.
    """

    def __init__(
        self,
        ranking: OnlineRanking,
        histories: Callable[[Sequence[str]], Mapping[str, Sequence[HistoryRow]]],
        *,
        ready: Callable[[], dict[str, str]],
        patience_seconds: float,
        now: Callable[[], int],
        life: Life | None = None,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._ranking = ranking
        self._histories = histories
        self._ready = ready
        self._patience_seconds = patience_seconds
        self._now = now
        self._life = life
        self._body_seconds = body_seconds
        self._waiting = 0
        self._reading = 0  # histories that threads read, or will read
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._readers = ThreadPoolExecutor(HISTORY_THREADS, thread_name_prefix="histories")
        self._decode = msgspec.msgpack.Decoder(RankRequest).decode
        self._encode = msgspec.msgpack.Encoder().encode

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the start and the end of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            with suppress(_Gone):
                await self._answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        if self._life is not None:
            await asyncio.to_thread(self._life.start)
        liveness = Liveness()
        watchdog = Watchdog(liveness)
        tasks = [asyncio.create_task(work) for work in (self._rank_all(), _keep_beating(liveness))]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in tasks:
            task.cancel()
        watchdog.close()
        self._readers.shutdown(wait=False, cancel_futures=True)
        if self._life is not None:
            await asyncio.to_thread(self._life.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Any, receive: Receive, send: Send) -> None:
        asked = (scope["method"], scope["path"])
        if asked == ("GET", READY_PATH):
            words = self._ready()
            await _send(send, 200 if READY.issuperset(words.values()) else 503, orjson.dumps(words), "application/json")
            return
        try:
            if asked != ("POST", PATH):
                raise NotRanked("path", f"nothing at {scope['method']} {scope['path'][:100]}")
            answer = await self._ranked(await self._body(scope, receive))
        except NotRanked as refused:
            _refused.labels(refused.kind).inc()
            await _send(
                send,
                STATUS[refused.kind],
                self._encode(RankRefusal(reason=str(refused))),
                close=refused.kind in ("path", "slow_body", "large_body"),  # the rest of the body is not read
            )
        else:
            await _send(send, 200, self._encode(answer))

    async def _body(self, scope: Any, receive: Receive) -> bytes:
        told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if int(told) > MAX_BODY_BYTES:  # the parser has refused what is no number
            raise NotRanked("large_body", f"the body is over {MAX_BODY_BYTES:,} bytes")
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(self._body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > MAX_BODY_BYTES:
                        raise NotRanked("large_body", f"the body is over {MAX_BODY_BYTES:,} bytes")
        except TimeoutError:
            raise NotRanked("slow_body", f"the body did not arrive within {self._body_seconds:g} s") from None
        return bytes(body)

    async def _ranked(self, body: bytes) -> RankAnswer:
        """Put the request into the queue and wait for its ranking. Raises `NotRanked`."""
        arrived = time.monotonic()
        try:
            request = self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NotRanked("malformed", f"no request of the ranker: {error}") from None
        if self._waiting >= MAX_WAITING:
            raise NotRanked("busy", f"{MAX_WAITING} requests wait already")
        self._waiting += 1
        try:
            history = None
            if request.user_id is not None:
                history = self._begin_history(request.user_id)
                await asyncio.wait([history], timeout=self._patience_seconds * HISTORY_SHARE)
            waiting = _Waiting(request, arrived, history, asyncio.get_running_loop().create_future())
            self._queue.put_nowait(waiting)
            answer = await waiting.answer
        finally:
            self._waiting -= 1
        _seconds.observe(time.monotonic() - arrived)
        return answer

    def _begin_history(self, user_id: str) -> "asyncio.Future[Sequence[HistoryRow]]":
        """Let a thread read a history. Raises `NotRanked` while a database that hangs keeps as many as may wait.

        A history is read even when nobody waits any more: one that is cancelled would stay in the queue of the threads,
        which has no bound.
        """
        if self._reading >= HISTORY_THREADS + MAX_WAITING:
            raise NotRanked("database", SILENT_DATABASE)
        self._reading += 1
        history = asyncio.get_running_loop().run_in_executor(self._readers, self._history, user_id)
        history.add_done_callback(self._end_history)
        return history

    def _end_history(self, history: "asyncio.Future[Sequence[HistoryRow]]") -> None:
        self._reading -= 1
        if not history.cancelled():
            history.exception()  # also where nobody waits: else the loop would log it as never retrieved

    def _history(self, user_id: str) -> Sequence[HistoryRow]:
        return self._histories([user_id]).get(user_id, ())

    async def _rank_all(self) -> None:
        """Rank what waits, one after the other."""
        while True:
            waiting = await self._queue.get()
            if waiting.answer.cancelled():
                continue
            try:
                waiting.answer.set_result(self._rank(waiting))
            except NotRanked as refused:
                waiting.answer.set_exception(refused)
            except Exception as error:  # the log has it, whoever asked is told, and the next one is ranked
                logger.exception("a request could not be ranked")
                waiting.answer.set_exception(NotRanked("failed", reason(error)))
            await asyncio.sleep(0)  # the loop reads what has come meanwhile

    def _rank(self, waiting: _Waiting) -> RankAnswer:
        if time.monotonic() - waiting.arrived > self._patience_seconds:
            raise NotRanked("late", "whoever asked has given up")
        history: Sequence[HistoryRow] = ()
        if waiting.history is not None:
            if not waiting.history.done():
                raise NotRanked("database", SILENT_DATABASE)
            try:
                history = waiting.history.result()
            except (SQLAlchemyError, OSError) as error:
                raise NotRanked("database", reason(error)) from error
        return self._ranking.rank(waiting.request, history, now=self._now())


async def _keep_beating(liveness: Liveness) -> None:
    while True:
        liveness.beat()
        await asyncio.sleep(BEAT_SECONDS)


async def _send(
    send: Send, status: int, body: bytes, kind: str = "application/msgpack", *, close: bool = False
) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
