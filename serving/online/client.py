"""Client: asks the ranker from the web process, with a deadline, and gives up aloud.

Arrives: a `RankRequest`. Leaves: a `RankAnswer`, or `RankerAway` with the reason. Next: `serving.recommend` applies the
rules of the slot, or answers from stored lists.

A ranker that is away costs nothing: after a failure nobody asks for a second, then one request tries. It imports
neither SQL nor torch, because the web process uses it.
"""

import time
from collections import deque
from contextlib import suppress

import msgspec
from prometheus_client import Counter, Histogram

from graphstore.errors import reason
from serving.breaker import Breaker
from serving.online.connection import BrokenExchange, Connection, HttpAnswer, door_of, post
from serving.online.protocol import PATH, RankAnswer, RankRefusal, RankRequest

KEPT_CONNECTIONS = 32
"""Idle connections that one process keeps. More are closed after their answer."""
TIMEOUTS = 3
"""So many requests in a row must wait in vain before nobody asks for a moment. One slow ranking is no outage."""

BUSY_STATUS = 503
OK_STATUS = 200

_requests = Counter(
    "sagestream_ranker_requests", "Requests to the ranker from this process, by how they ended", ["result"]
)
_seconds = Histogram(
    "sagestream_ranker_request_seconds",
    "Seconds from asking the ranker to its answer",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
)


class RankerAway(Exception):
    """The ranker has not answered. `reason` says why, in words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RankerClient:
    """Asks the ranker at `url` (empty: nobody is asked). Threads may share it."""

    def __init__(self, url: str, *, timeout_ms: int, breaker: Breaker | None = None) -> None:
        self._door = door_of(url) if url else None
        self._timeout_seconds = timeout_ms / 1000
        self._breaker = breaker or Breaker()
        self._idle: deque[Connection] = deque()
        self._timeouts = 0
        self._encode = msgspec.msgpack.Encoder().encode
        self._answer = msgspec.msgpack.Decoder(RankAnswer)
        self._refusal = msgspec.msgpack.Decoder(RankRefusal)

    @property
    def asks(self) -> bool:
        """Whether there is a ranker to ask."""
        return self._door is not None

    def rank(self, request: RankRequest) -> RankAnswer:
        """Return the ranking. Raises `RankerAway` at the deadline at the latest."""
        if self._door is None:
            raise RankerAway("no ranker is set")
        if not self._breaker.allows():
            raise _away("waiting", "it did not answer a moment ago, and is not asked again yet")
        began = time.monotonic()
        deadline = began + self._timeout_seconds
        try:
            answer = self._exchange(post(self._door, PATH, self._encode(request)), deadline)
        except TimeoutError:
            self._timeouts += 1
            if self._timeouts >= TIMEOUTS:
                self._breaker.timed_out()
            else:
                self._breaker.answered()
            raise _away("timeout", f"no answer within {self._timeout_seconds * 1000:g} ms") from None
        except OSError as error:
            self._breaker.timed_out()  # refused at once or not: it comes back in seconds, not in milliseconds
            raise _away("away", error.strerror or reason(error)) from error
        except BaseException:
            self._breaker.answered()
            raise
        self._timeouts = 0
        self._breaker.answered()
        _seconds.observe(time.monotonic() - began)
        return self._read(answer)

    def close(self) -> None:
        """Close the idle connections."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _exchange(self, request: bytes, deadline: float) -> HttpAnswer:
        """Use the connection that was used last. When it broke, try a new one: to rank twice does no harm."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._through(self._connect(deadline), request, deadline)
        try:
            return self._through(connection, request, deadline)
        except TimeoutError:
            raise
        except OSError:
            self.close()  # the others are as old: the ranker has ended, or closed what was idle
            return self._through(self._connect(deadline), request, deadline)

    def _connect(self, deadline: float) -> Connection:
        if self._door is None:
            raise BrokenExchange("no ranker is set")
        return Connection(self._door, deadline=deadline)

    def _through(self, connection: Connection, request: bytes, deadline: float) -> HttpAnswer:
        try:
            answer = connection.exchange(request, deadline=deadline)
        except BaseException:
            connection.close()
            raise
        if answer.stays and len(self._idle) < KEPT_CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _read(self, answer: HttpAnswer) -> RankAnswer:
        try:
            if answer.status == OK_STATUS:
                found = self._answer.decode(answer.body)
                _requests.labels("answered").inc()
                return found
            said = self._refusal.decode(answer.body).reason
        except msgspec.MsgspecError as error:
            raise _away("refused", f"status {answer.status} with another body than ours: {error}") from error
        raise _away("busy" if answer.status == BUSY_STATUS else "refused", said)


def _away(result: str, why: str) -> RankerAway:
    _requests.labels(result).inc()
    return RankerAway(why)
