"""Rebuild watch: a thread of the worker that rebuilds a flushed Redis from SQL, and compares it with SQL.

Arrives: the mark of `graphstore.redis.rebuild`. Leaves: a complete Redis that holds what SQL holds, and the number of
repaired users (`graphstore.redis.comparison`). Next: the publisher writes the lists again.

The rebuild has its own thread, because it takes minutes with many users, and the worker must store events meanwhile. A
live batch and a rebuild can write at the same time (see `graphstore.redis.rebuild`).
"""

import logging
import threading
import time
from collections.abc import Callable

from prometheus_client import Counter
from redis import Redis, RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from graphstore.outages import is_full
from graphstore.redis.comparison import SETTLE_SECONDS, Comparison
from graphstore.redis.hot import HOT_LIMITS, HotLimits
from graphstore.redis.lifetime import Lifetime
from graphstore.redis.rebuild import is_complete, rebuild_if_incomplete

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0
FULL_SECONDS = 60.0
"""The pause after a rebuild that a full Redis stopped: it reads many shoppers until it meets the end of the memory."""
COMPARING_SHARE = 0.005
"""The share of this thread's time that the comparison may take."""

COMPARED = Counter("sagestream_hot_keys_compared_total", "Users whose hot keys were compared with SQL")
REPAIRED = Counter("sagestream_hot_keys_repaired_total", "Users whose hot keys differed from SQL and were repaired")


class _Stopped(Exception):
    """The process ends during a rebuild. The mark stays missing, so the next worker rebuilds."""


class RebuildWatch:
    """A thread that checks Redis every `interval_seconds` until it is closed."""

    def __init__(
        self,
        engine: Engine,
        redis: Redis,
        *,
        now: Callable[[], int],
        limits: HotLimits = HOT_LIMITS,
        interval_seconds: float = INTERVAL_SECONDS,
        settle_seconds: float = SETTLE_SECONDS,
        full_seconds: float = FULL_SECONDS,
    ) -> None:
        self._engine = engine
        self._redis = redis
        self._now = now
        self._limits = limits
        self._interval_seconds = interval_seconds
        self._comparison = Comparison(
            engine, redis, limits.recent_items, lambda: Lifetime(now(), limits.visitor_days), settle_seconds
        )
        self._next_comparison = 0.0
        self._full_seconds = full_seconds
        self._next_rebuild = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rebuild", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread. A running rebuild ends at its next page."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        self._check()  # at once: an empty graph takes milliseconds
        while not self._stop.wait(self._interval_seconds):
            self._check()

    def _check(self) -> None:
        if time.monotonic() < self._next_rebuild:
            return
        try:
            if rebuild_if_incomplete(
                self._engine, self._redis, now=self._now, limits=self._limits, progress=self._progress
            ):
                logger.warning("Redis was not complete and has been rebuilt from SQL")
            self._compare()
        except _Stopped:
            logger.info("a rebuild of Redis is given up; the next worker does it")
        except (SQLAlchemyError, RedisError, OSError) as error:
            if is_full(error):
                self._next_rebuild = time.monotonic() + self._full_seconds
                logger.error("Redis is still full, the next rebuild is tried in %g s", self._full_seconds)
            else:
                logger.warning("Redis is not rebuilt yet: %s", str(error).partition("\n")[0])

    def _compare(self) -> None:
        begun = time.monotonic()
        if begun < self._next_comparison or not is_complete(self._redis):
            return
        done = self._comparison.step(now=begun)
        COMPARED.inc(done.users)
        REPAIRED.inc(done.repaired)
        ended = time.monotonic()
        self._next_comparison = ended + (ended - begun) / COMPARING_SHARE

    def _progress(self, _done: int, _total: int) -> None:
        if self._stop.is_set():
            raise _Stopped
