"""What Redis remembers of one person, read together so that tests can compare it whole."""

from dataclasses import dataclass, field

from redis import Redis

from graphstore.redis import hot, shown
from graphstore.redis.corrupt import readable_scores


@dataclass(frozen=True)
class ShopperMemory:
    """What one person did lately. Times are epoch ms."""

    recent: list[tuple[str, int]] = field(default_factory=list)
    """Items with the time of the last event, newest first."""
    bought: dict[str, int] = field(default_factory=dict)
    """Items with the time of the last purchase."""
    shown: dict[str, int] = field(default_factory=dict)
    """How often an item was shown in the last `shown.SHOWN_DAYS` days, since the last event with it."""


NOBODY = ShopperMemory()
"""The memory of a shopper without an id."""


def read_memory(redis: Redis, user_id: str, *, now: int) -> ShopperMemory:
    """Return what is remembered at `now` (epoch ms), with one round trip. Raises `redis.RedisError`."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.zrevrange(hot.recent_key(user_id), 0, -1, withscores=True)
    pipeline.zrange(hot.bought_key(user_id), 0, -1, withscores=True)
    pipeline.hgetall(hot.shown_key(user_id))
    recent, bought, times = pipeline.execute()
    return ShopperMemory(
        recent=[(item, int(time)) for item, time in readable_scores(hot.recent_key(user_id), recent)],
        bought={item: int(time) for item, time in readable_scores(hot.bought_key(user_id), bought)},
        shown=shown.counts(hot.shown_key(user_id), times, now=now),
    )
