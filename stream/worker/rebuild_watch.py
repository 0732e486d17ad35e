"""A Redis that was flushed heals by itself: a thread of the worker sees the missing mark and rebuilds from SQL.

Arrives: the mark of `graphstore.redis.rebuild`. Leaves: a complete Redis. Next: readers; the publisher brings back the
lists.

A thread of its own, because a rebuild of many shoppers takes minutes, and beside it events go on being stored: what a
live batch writes and what a rebuild writes cannot spoil each other.
"""

import logging
import threading
from collections.abc import Callable

from redis import Redis, RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from graphstore.redis.rebuild import rebuild_if_incomplete

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0


class _Stopped(Exception):
    """The process ends: the mark stays missing, and the next worker rebuilds."""


class RebuildWatch:
    """Looks every `interval_seconds` until it is closed."""

    def __init__(
        self,
        engine: Engine,
        redis: Redis,
        *,
        now: Callable[[], int],
        recent_items: int,
        trending_items: int,
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
        """Look no more; a rebuild under way ends at its next page."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        self._look()  # at once: on a graph that is still empty it takes milliseconds
        while not self._stop.wait(self._interval_seconds):
            self._look()

    def _look(self) -> None:
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
