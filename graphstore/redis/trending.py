"""Trending items in Redis, computed again from the hourly counts, because windows move also without new events.

Arrives: `item_buckets`. Leaves: `trending:{window}`. Next: `serving` shows it to cold users.
"""

from redis import Redis
from sqlalchemy import Engine

from graphstore import queries
from graphstore.redis import hot
from graphstore.session import read
from graphstore.tables import HOUR_MS


def refresh_trending(engine: Engine, redis: Redis, *, now: int, keep: int) -> None:
    """Replace the list of every window as of `now` (epoch ms), with at most `keep` items."""
    for window, hours in hot.TRENDING_WINDOWS_HOURS.items():
        with read(engine) as connection:
            top = queries.trending(connection, since_ms=now - (hours - 1) * HOUR_MS, limit=keep)
        hot.set_trending(redis, window, {item_id: float(count) for item_id, count in top})
