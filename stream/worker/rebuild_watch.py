"""Rebuild watch: a thread of the worker that rebuilds a flushed Redis from SQL.

Arrives: the mark of `graphstore.redis.rebuild`. Leaves: a complete Redis. Next: the publisher writes the lists again.

The rebuild has its own thread, because it takes minutes with many users, and the worker must store events meanwhile. A
live batch and a rebuild can write at the same time (see `graphstore.redis.rebuild`).
"""

import logging
import threading
from collections.abc import Callable

from redis import Redis, RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from graphstore.redis.hot import RECENT_ITEMS, TRENDING_ITEMS
from graphstore.redis.rebuild import rebuild_if_incomplete

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0


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
        recent_items: int = RECENT_ITEMS,
        trending_items: int = TRENDING_ITEMS,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._engine = engine
        self._redis = redis
        self._now = now
        self._keep = {"recent_items": recent_items, "trending_items": trending_items}
        self._interval_seconds = interval_seconds
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
        try:
            if rebuild_if_incomplete(self._engine, self._redis, now=self._now, progress=self._progress, **self._keep):
                logger.warning("Redis was not complete and has been rebuilt from SQL")
        except _Stopped:
            logger.info("a rebuild of Redis is given up; the next worker does it")
        except (SQLAlchemyError, RedisError) as error:
            logger.warning("Redis is not rebuilt yet: %s", str(error).partition("\n")[0])

    def _progress(self, _done: int, _total: int) -> None:
        if self._stop.is_set():
            raise _Stopped
