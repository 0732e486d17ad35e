"""Asked: writes the retrain requests that came by HTTP into SQL.

Arrives: the list of `graphstore.redis.asked`. Leaves: rows of `retrain_requests`. Next: `training.lifecycle.retrain`.

A request is taken off the list after its row is committed. A process that is killed in between finds the same request
again and knows it by its asker and its time.
"""

import logging

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine, func, select

from graphstore.errors import reason
from graphstore.redis.asked import NotAsked, decode, raw_requests, take_off
from graphstore.session import write
from graphstore.tables import retrain_requests
from training.lifecycle.registry import request_retrain

logger = logging.getLogger(__name__)


class AskedRequests:
    """Collects the requests of the list. Call it repeatedly, but not from two threads at the same time."""

    def __init__(self, engine: Engine, redis: Redis) -> None:
        self._engine = engine
        self._redis = redis
        self._away = False

    def collect(self) -> None:
        """Write what was asked into SQL. While Redis is away, one line is logged and the next call tries again."""
        try:
            for raw in raw_requests(self._redis):
                self._store(raw)
                take_off(self._redis, raw)
        except RedisError as error:
            if not self._away:
                logger.warning("requests by HTTP wait for Redis: %s", reason(error))
            self._away = True
        else:
            self._away = False

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _store(self, raw: bytes) -> None:
        try:
            asked = decode(raw)
        except NotAsked as error:
            logger.error("a retrain request in Redis cannot be read and is dropped: %s", error)
            return
        table = retrain_requests.c
        known = (table.requested_by == asked.requested_by) & (table.requested_at == asked.asked_at)
        with write(self._engine) as connection:
            if connection.scalar(select(func.count()).where(known, table.reason == asked.reason)):
                return
            request_retrain(
                connection,
                reason=asked.reason,
                requested_by=asked.requested_by,
                now=asked.asked_at,
                full=asked.full,
            )
        logger.info("%s asks for a retrain: %s", asked.requested_by, asked.reason)
