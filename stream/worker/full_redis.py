"""Full Redis: what the worker does when Redis refuses writes, because its memory is full (`maxmemory`).

Arrives: an error of a write to Redis, after the SQL commit. Leaves: a Redis without the mark of completeness, a count
and a line in the log. Next: `stream.worker.rebuild_watch` rebuilds Redis from SQL when it has room again.

An unreachable Redis is waited for, because that ends by itself. A full one needs an operator, and until then events
would only pile up in Kafka. So the batch counts as stored: SQL has it, and everything in Redis can be rebuilt from SQL.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import Counter
from redis import Redis
from redis.exceptions import RedisError

from graphstore.outages import is_full
from graphstore.redis.marks import COMPLETE

logger = logging.getLogger(__name__)

LOG_SECONDS = 60.0
"""Time between two log lines: each batch meets the same full Redis."""

FULL = Counter("sagestream_redis_full_total", "Batches that SQL has stored and a full Redis has refused")


class FullRedis:
    """Lets a batch pass that a full Redis refuses. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at = float("-inf")

    @contextmanager
    def passed(self, redis: Redis) -> Iterator[None]:
        """Suppress the error of a full Redis in the block, and ask for a rebuild. Other errors are raised."""
        try:
            yield
        except RedisError as error:
            if not is_full(error):
                raise
            redis.delete(COMPLETE)
            FULL.inc()
            if self._clock() - self._logged_at >= LOG_SECONDS:
                self._logged_at = self._clock()
                logger.error(
                    "Redis is full: events are stored in SQL alone, and Redis is rebuilt from SQL when it has room. "
                    "Raise its maxmemory, or lower SAGESTREAM_VISITOR_DAYS: %s",
                    str(error).partition("\n")[0],
                )
