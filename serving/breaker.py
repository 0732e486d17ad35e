"""Breaker: a client of Redis that stops asking for a moment after a request had to wait for nothing.

Arrives: commands of readers. Leaves: their results, or an error at once. Next: `serving.web.services` opens it. The
breaker alone guards the ranker, too (`serving.online.client`).

Without it, each request of a page waits the whole timeout while Redis hangs, and all threads wait. A name server that
does not know the host of a stopped Redis can take longer than that, and no timeout of a socket bounds it.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

OPEN_SECONDS = 1.0
"""After a timeout nobody asks Redis for this time. Then one request tries, and the others still fail at once."""
SLOW_SECONDS = 0.5
"""A failed connection that took this time counts as a timeout. One that fails faster costs nobody much."""


class Breaker:
    """Closed: ask. Open until a time: do not ask. Threads may share it. `clock` is monotonic, in seconds."""

    def __init__(self, *, open_seconds: float = OPEN_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._open_seconds = open_seconds
        self._clock = clock
        self._open_until: float | None = None  # None: closed
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Return whether the service may be asked now. Whoever asks must tell the result.

        The result is `answered`, `timed_out` or `failed`.
        """
        if self._open_until is None:
            return True
        with self._lock:
            if self._open_until is None:
                return True
            if self._clock() < self._open_until:
                return False
            self._open_until = math.inf  # this request tries, the others wait for its result
        return True

    def check(self) -> float:
        """Return the time when Redis is asked. Raises `redis.exceptions.ConnectionError` while the breaker is open."""
        now = self._clock()
        if not self.allows():
            raise RedisConnectionError("Redis did not answer a moment ago, and is not asked again yet")
        return now

    def answered(self) -> None:
        """Close the breaker."""
        self._open_until = None

    def timed_out(self) -> None:
        """Open the breaker."""
        self._open_until = self._clock() + self._open_seconds

    def failed(self, since: float) -> None:
        """Open the breaker if a connection that was tried at the time `since` failed slowly, else close it."""
        if self._clock() - since >= SLOW_SECONDS:
            self.timed_out()
        else:
            self.answered()


class GuardedRedis(Redis):
    """A client with a breaker around its single commands, which are all that readers use."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.breaker = Breaker()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command. Raises `redis.exceptions.ConnectionError` without sending it while the breaker is open."""
        began = self.breaker.check()
        try:
            result = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except RedisTimeoutError:
            self.breaker.timed_out()
            raise
        except RedisConnectionError:
            self.breaker.failed(began)
            raise
        except BaseException:
            self.breaker.answered()  # with an error
            raise
        self.breaker.answered()
        return result
