"""What is trending, in Redis: rebuilt from the hourly counts, because windows slide even when nothing arrives.

Arrives: `item_buckets`. Leaves: `trending:{window}`. Next: `serving` shows it to strangers.
"""

from redis import Redis
from sqlalchemy import Engine

from graphstore import queries
from graphstore.redis import hot
from graphstore.session import read
from graphstore.tables import HOUR_MS


def refresh_trending(engine: Engine, redis: Redis, *, now: int, keep: int) -> None:
    """Replace every window's list as of `now` (epoch ms); `keep` items stay in each."""
    for window, hours in hot.TRENDING_WINDOWS_HOURS.items():
        with read(engine) as connection:
            top = queries.trending(connection, since_ms=now - (hours - 1) * HOUR_MS, limit=keep)
        hot.set_trending(redis, window, {item_id: float(count) for item_id, count in top})
