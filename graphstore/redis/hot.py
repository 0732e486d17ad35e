"""The hot neighbourhood in Redis: what a shopper touched last, what they have seen, what is trending, what items are.

Arrives: interactions after their SQL commit, catalogue rows. Leaves: the keys below. Next: `serving` reads them.

Every command is idempotent (`ZADD GT`, `SADD`, `SET`, absolute counts, never `ZINCRBY`): a batch that a crash delivers
again leaves the same content. All of it can be rebuilt from SQL. Nothing here imports SQLAlchemy: the web process
reads through this module.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import cast

import msgspec
from redis import Redis
from redis.exceptions import WatchError

from graphstore.catalogue import Item

ITEM_IDS = "item_ids"
"""Hash: item_key → item_id, for lists that are packed as integers."""


TRENDING_WINDOWS_HOURS = {"1h": 1, "24h": 24, "7d": 168}
"""The windows of `trending:{window}`, shortest first. Hours are whole buckets: the current one and those before it."""


def recent_key(user_id: str) -> str:
    """Sorted set: item_id by the time (epoch ms) of the last interaction with it."""
    return f"recent:{user_id}"


def seen_key(user_id: str) -> str:
    """Set: every item_id that the shopper interacted with."""
    return f"seen:{user_id}"


def trending_key(window: str) -> str:
    """Sorted set: item_id by its count in the window (`1h`, `24h`, `7d`)."""
    return f"trending:{window}"


def item_key(item_id: str) -> str:
    """JSON of `Item`."""
    return f"item:{item_id}"


_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_decode = msgspec.json.Decoder(Item).decode


# One call for many shoppers: a pipeline of single commands costs the client ten times as much. cmsgpack comes with
# Redis and Valkey.
_RECORD = """
local keep = tonumber(ARGV[1])
for user, times in pairs(cmsgpack.unpack(ARGV[2])) do
  local scored, items = {}, {}
  for item, time in pairs(times) do
    scored[#scored + 1] = string.format('%d', time)
    scored[#scored + 1] = item
    items[#items + 1] = item
  end
  redis.call('ZADD', 'recent:' .. user, 'GT', unpack(scored))
  redis.call('ZREMRANGEBYRANK', 'recent:' .. user, 0, -keep - 1)
  redis.call('SADD', 'seen:' .. user, unpack(items))
end
"""

RECORD_TOUCHES = 200
"""Touches of one call: Redis answers nobody else meanwhile (some two milliseconds)."""


def record(redis: Redis, touches: Iterable[tuple[str, str, int]], *, keep: int) -> None:
    """Write (user_id, item_id, event_time ms) to `recent:` and `seen:`; `recent:` keeps the newest."""
    newest: dict[tuple[str, str], int] = {}
    for user_id, item_id, time in touches:
        pair = (user_id, item_id)
        newest[pair] = max(time, newest.get(pair, time))
    script = redis.register_script(_RECORD)
    pairs = iter(newest.items())
    while chunk := list(islice(pairs, RECORD_TOUCHES)):
        by_user: dict[str, dict[str, int]] = {}
        for (user_id, item_id), time in chunk:
            by_user.setdefault(user_id, {})[item_id] = time
        script(args=[keep, _pack(by_user)])


def replace(redis: Redis, user_id: str, read: Callable[[], Mapping[str, int]], *, keep: int) -> None:
    """Put what `read` gives (item_id → time in epoch ms) in the place of the shopper's `recent:` and `seen:`.

    Whatever another worker writes to them meanwhile is in SQL already: the keys are then read and replaced again.
    """
    keys = (recent_key(user_id), seen_key(user_id))
    with redis.pipeline(transaction=True) as pipeline:
        while True:
            pipeline.watch(*keys)  # type: ignore[no-untyped-call]
            times = read()
            pipeline.multi()
            pipeline.delete(*keys)
            if times:
                pipeline.zadd(keys[0], dict(times))
                pipeline.zremrangebyrank(keys[0], 0, -keep - 1)
                pipeline.sadd(keys[1], *times)
            try:
                pipeline.execute()
            except WatchError:
                continue
            return


def forget(redis: Redis, user_ids: Sequence[str]) -> int:
    """Delete `recent:` and `seen:` of these ids; how many keys there were."""
    names = [key for user_id in user_ids for key in (recent_key(user_id), seen_key(user_id))]
    return redis.delete(*names) if names else 0


def recent(redis: Redis, user_id: str, count: int) -> list[tuple[str, int]]:
    """The shopper's last items, newest first, with the time (epoch ms) of the last interaction."""
    rows = cast("list[tuple[bytes, float]]", redis.zrevrange(recent_key(user_id), 0, count - 1, withscores=True))
    return [(item.decode(), int(time)) for item, time in rows]


def seen(redis: Redis, user_id: str) -> set[str]:
    """Every item that the shopper interacted with."""
    return {item.decode() for item in cast("set[bytes]", redis.smembers(seen_key(user_id)))}


def set_trending(redis: Redis, window: str, scores: Mapping[str, float]) -> None:
    """Replace a window's list at once: a reader sees the old one or the new one, never a mixture."""
    pipeline = redis.pipeline(transaction=True)
    pipeline.delete(trending_key(window))
    if scores:
        pipeline.zadd(trending_key(window), dict(scores))
    pipeline.execute()


def trending(redis: Redis, window: str, count: int) -> list[tuple[str, float]]:
    """The window's top items with their counts, highest first."""
    rows = cast("list[tuple[bytes, float]]", redis.zrevrange(trending_key(window), 0, count - 1, withscores=True))
    return [(item.decode(), float(score)) for item, score in rows]


def set_items(redis: Redis, items: Iterable[Item]) -> None:
    """Write `item:{item_id}` and the key map of many items."""
    pipeline = redis.pipeline(transaction=False)
    for item in items:
        pipeline.set(item_key(item.item_id), _encode(item))
        pipeline.hset(ITEM_IDS, str(item.item_key), item.item_id)
    pipeline.execute()


def get_items(redis: Redis, item_ids: Sequence[str]) -> list[Item | None]:
    """The items in the order asked, None for one that Redis does not know."""
    if not item_ids:
        return []
    return [None if raw is None else _decode(raw) for raw in redis.mget([item_key(i) for i in item_ids])]


def get_items_by_key(redis: Redis, item_keys: Sequence[int]) -> list[Item | None]:
    """The same by integer key, for packed lists."""
    if not item_keys:
        return []
    names = cast("list[bytes | None]", redis.hmget(ITEM_IDS, [str(key) for key in item_keys]))
    found = iter(get_items(redis, [name.decode() for name in names if name is not None]))
    return [None if name is None else next(found) for name in names]
