"""Changes: which items in Redis changed last, so that a reader's memory of prices and stock is a moment old at most.

Arrives: the keys of items that were just written. Leaves: `changed_items`, a sorted set of item keys by the number of
their last change. Next: `serving.cache.ItemReader` asks what changed after the number that it knows, and forgets it.

The score is a number that one counter in Redis gives, not a time: clocks of machines differ, and two changes may have
one millisecond. The last `KEPT` numbers stay. A reader that is further behind forgets all items. The counter begins
with the time of Redis in milliseconds, so that a reader is behind after a flush, too.
"""

from collections.abc import Iterator, Sequence
from typing import cast

from redis import Redis
from redis.client import Pipeline

CHANGED = "changed_items"
"""Sorted set: item_key by the number of its last change."""

COUNTER = "changed_items:count"
"""The number of the newest change."""

KEPT = 10_000
"""Numbers that are kept."""

ANNOUNCED_AT_ONCE = 1000

_ANNOUNCE = f"""
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('SET', KEYS[2], redis.call('TIME')[1] .. '000')
end
local last = redis.call('INCRBY', KEYS[2], #ARGV)
local scored = {{}}
for place, item in ipairs(ARGV) do
  scored[#scored + 1] = string.format('%d', last - #ARGV + place)
  scored[#scored + 1] = item
end
redis.call('ZADD', KEYS[1], unpack(scored))
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', last - {KEPT}))
return last
"""


def announce(pipeline: Pipeline, item_keys: Sequence[int]) -> None:
    """Add to the pipeline that these items have changed. Their new content must be in front of it."""
    for keys in _chunks(item_keys):
        pipeline.eval(_ANNOUNCE, 2, CHANGED, COUNTER, *map(str, keys))


def changed_since(redis: Redis, number: int) -> tuple[int, list[int] | None]:
    """Return the newest number, and the item keys that changed after `number`; None when every item may have changed.

    The number 0 is for a reader that knows nothing yet. Raises `redis.RedisError`.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.get(COUNTER)  # first: what changes in between is told again next time
    pipeline.zrangebyscore(CHANGED, f"({number}", "+inf")
    counted, rows = pipeline.execute()
    newest = int(counted or 0)
    if number < newest - KEPT or newest < number:
        return newest, None
    return newest, [int(row) for row in cast("list[bytes]", rows)]


def _chunks(item_keys: Sequence[int]) -> Iterator[Sequence[int]]:
    return (item_keys[start : start + ANNOUNCED_AT_ONCE] for start in range(0, len(item_keys), ANNOUNCED_AT_ONCE))
