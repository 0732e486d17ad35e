"""The hot neighbourhood in Redis: each user's recent and seen items, trending items, and the items themselves.

Arrives: interactions after their SQL commit, catalogue rows. Leaves: the keys below. Next: `serving` reads them.

Every command is idempotent (`ZADD GT`, `SADD`, `SET`, absolute counts, never `ZINCRBY`): a batch that is delivered
twice leaves the same content. SQL can rebuild every key. This module does not import SQLAlchemy, because the web
process uses it.
"""

import heapq
import math
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import cast

import msgspec
from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import fence
from graphstore.redis.corrupt import left_out
from graphstore.redis.fence import FENCE, OPEN

ITEM_IDS = "item_ids"
"""Hash: item_key → item_id, for lists that are packed as integers."""

NEWEST = "newest_items"
"""Sorted set: the item_ids with the highest item_key, by this key. Keys are given in the order in which items come."""

NEWEST_ITEMS = 100
"""Items kept in `newest_items`: what a slot that explores may show as new."""

RECENT_ITEMS = 200
"""Items kept in `recent:{user}`: it bounds one shopper's memory; readers ask for tens."""

TRENDING_ITEMS = 200
"""Items kept in `trending:{window}`: twice what the API gives at most, since some cannot be bought."""


TRENDING_WINDOWS_HOURS = {"1h": 1, "24h": 24, "7d": 168}
"""The windows of `trending:{window}` in hours, shortest first: the current hour and the hours before it."""


def recent_key(user_id: str) -> str:
    """Sorted set: item_id by the time (epoch ms) of the last interaction with it."""
    return f"recent:{user_id}"


def seen_key(user_id: str) -> str:
    """Set: every item_id that the user interacted with."""
    return f"seen:{user_id}"


def replacing_key(user_id: str) -> str:
    """Hash: the processes that are about to replace the user's keys. A write to these keys deletes it."""
    return f"replacing:{user_id}"


def trending_key(window: str) -> str:
    """Sorted set: item_id by its count in the window (`1h`, `24h`, `7d`)."""
    return f"trending:{window}"


def item_key(item_id: str) -> str:
    """JSON of `Item`."""
    return f"item:{item_id}"


_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_decode = msgspec.json.Decoder(Item).decode


# One script call for many users: a pipeline of single commands costs the client ten times as much. cmsgpack is a part
# of Redis and Valkey. Each script first compares the generation with the fence, in the same step as it writes.
FENCED = f"""
local fence = tonumber(redis.call('GET', '{FENCE}') or 0)
"""

# To delete the marks of replacements is the sign that makes them read SQL again. A watch on the keys would miss a
# touch that changes nothing, because the key holds a later time of a session that is about to leave the person.
_RECORD = (
    FENCED
    + """
if fence > tonumber(ARGV[2]) then return fence end
local keep, touched = tonumber(ARGV[1]), cmsgpack.unpack(ARGV[3])
for user, times in pairs(touched) do
  local scored, items = {}, {}
  for item, time in pairs(times) do
    scored[#scored + 1] = string.format('%d', time)
    scored[#scored + 1] = item
    items[#items + 1] = item
  end
  redis.call('ZADD', 'recent:' .. user, 'GT', unpack(scored))
  redis.call('ZREMRANGEBYRANK', 'recent:' .. user, 0, -keep - 1)
  redis.call('SADD', 'seen:' .. user, unpack(items))
  redis.call('DEL', 'replacing:' .. user)
end
return 0
"""
)

_FORGET = (
    FENCED
    + """
if fence > tonumber(ARGV[1]) then return fence end
for _, user in ipairs(cmsgpack.unpack(ARGV[2])) do
  redis.call('DEL', 'recent:' .. user, 'seen:' .. user, 'replacing:' .. user)
end
return 0
"""
)

# Answers 0 when the keys are replaced, -1 when somebody wrote to them after the mark, else the fence.
_REPLACE = (
    FENCED
    + """
local user, keep, times = ARGV[1], tonumber(ARGV[3]), cmsgpack.unpack(ARGV[5])
local recent, seen, mark = 'recent:' .. user, 'seen:' .. user, 'replacing:' .. user
if fence > tonumber(ARGV[4]) then return fence end
if redis.call('HDEL', mark, ARGV[2]) == 0 then return -1 end
redis.call('DEL', recent, seen, mark)
local scored, items = {}, {}
local function write()
  if #items == 0 then return end
  redis.call('ZADD', recent, unpack(scored))
  redis.call('SADD', seen, unpack(items))
  scored, items = {}, {}
end
for item, time in pairs(times) do
  scored[#scored + 1] = string.format('%d', time)
  scored[#scored + 1] = item
  items[#items + 1] = item
  if #items == 1000 then write() end
end
write()
redis.call('ZREMRANGEBYRANK', recent, 0, -keep - 1)
return 0
"""
)

RECORD_TOUCHES = 200
"""Touches in one call. Redis serves no other client during a call (about two milliseconds)."""

FORGET_USERS = 1000
"""Users in one call."""

WRITTEN_MEANWHILE = -1

MARK_SECONDS = 600
"""A mark that a killed process left expires after this time."""


def record(redis: Redis, touches: Iterable[tuple[str, str, int]], *, keep: int, generation: int = OPEN) -> None:
    """Write (user_id, item_id, event_time in epoch ms) to `recent:` and `seen:`. `recent:` keeps the newest `keep`.

    `generation` is the generation of identities at which the user ids were read. Raises
    `graphstore.redis.fence.Overtaken` when identities changed since; some touches may be written then.
    """
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
        fence.check(script(args=[keep, generation, _pack(by_user)]))


def replace(redis: Redis, user_id: str, read: Callable[[], tuple[int, Mapping[str, int]]], *, keep: int) -> None:
    """Replace the user's `recent:` and `seen:` by the result of `read`.

    `read` returns the generation of identities and item_id → time (epoch ms), from one transaction. When another worker
    writes to the keys at the same time, its events are in SQL already: read and replace again. Raises
    `graphstore.redis.fence.Overtaken`.
    """
    script = redis.register_script(_REPLACE)
    while True:
        token = secrets.token_hex(8)
        pipeline = redis.pipeline(transaction=True)
        pipeline.hset(replacing_key(user_id), token, "1")
        pipeline.expire(replacing_key(user_id), MARK_SECONDS)
        pipeline.execute()
        generation, times = read()
        answer = script(args=[user_id, token, keep, generation, _pack(dict(times))])
        if answer != WRITTEN_MEANWHILE:
            fence.check(answer)
            return


def forget(redis: Redis, user_ids: Sequence[str]) -> int:
    """Delete `recent:` and `seen:` of erased ids; return the number of deleted keys."""
    names = [key for user_id in user_ids for key in (recent_key(user_id), seen_key(user_id))]
    if not names:
        return 0
    redis.delete(*[replacing_key(user_id) for user_id in user_ids])
    return redis.delete(*names)


def forget_members(redis: Redis, user_ids: Sequence[str], *, generation: int) -> None:
    """Delete the keys of sessions and erased ids, which are no persons at `generation`.

    Raises `graphstore.redis.fence.Overtaken` when identities changed since: one of them may be a person now.
    """
    script = redis.register_script(_FORGET)
    for start in range(0, len(user_ids), FORGET_USERS):
        fence.check(script(args=[generation, _pack(list(user_ids[start : start + FORGET_USERS]))]))


def recent(redis: Redis, user_id: str, count: int) -> list[tuple[str, int]]:
    """Return the user's last items, newest first, with the time (epoch ms) of the last interaction."""
    rows = cast("list[tuple[bytes, float]]", redis.zrevrange(recent_key(user_id), 0, count - 1, withscores=True))
    return [(item, int(time)) for item, time in _readable(recent_key(user_id), rows)]


def seen(redis: Redis, user_id: str) -> set[str]:
    """Return every item that the user interacted with."""
    items = cast("set[bytes]", redis.smembers(seen_key(user_id)))
    return {item for raw in items if (item := _text(seen_key(user_id), raw)) is not None}


def set_trending(redis: Redis, window: str, scores: Mapping[str, float]) -> None:
    """Replace the list of a window in one transaction: a reader sees the old list or the new list."""
    pipeline = redis.pipeline(transaction=True)
    pipeline.delete(trending_key(window))
    if scores:
        pipeline.zadd(trending_key(window), dict(scores))
    pipeline.execute()


def trending(redis: Redis, window: str, count: int) -> list[tuple[str, float]]:
    """Return the top items of the window with their counts, highest first."""
    rows = cast("list[tuple[bytes, float]]", redis.zrevrange(trending_key(window), 0, count - 1, withscores=True))
    return _readable(trending_key(window), rows)


def set_items(redis: Redis, items: Iterable[Item]) -> None:
    """Write `item:{item_id}`, the key map and `newest_items` of many items."""
    pipeline = redis.pipeline(transaction=False)
    newest: list[tuple[int, str]] = []
    for item in items:
        pipeline.set(item_key(item.item_id), _encode(item))
        pipeline.hset(ITEM_IDS, str(item.item_key), item.item_id)
        newest.append((item.item_key, item.item_id))
    if newest:
        pipeline.zadd(NEWEST, {item_id: key for key, item_id in heapq.nlargest(NEWEST_ITEMS, newest)})
        pipeline.zremrangebyrank(NEWEST, 0, -NEWEST_ITEMS - 1)
    pipeline.execute()


def newest_items(redis: Redis) -> list[Item]:
    """Return at most `NEWEST_ITEMS` items, the newest first. They may not be available."""
    names = cast("list[bytes]", redis.zrevrange(NEWEST, 0, -1))
    ids = [item_id for raw in names if (item_id := _text(NEWEST, raw)) is not None]
    return [item for item in get_items(redis, ids) if item is not None]


def newest_key(redis: Redis) -> int:
    """Return the highest item key, -1 without items."""
    rows = cast("list[tuple[bytes, float]]", redis.zrevrange(NEWEST, 0, 0, withscores=True))
    return int(rows[0][1]) if rows else -1


def get_items(redis: Redis, item_ids: Sequence[str]) -> list[Item | None]:
    """Return the items in the given order, None for an item that Redis does not have."""
    if not item_ids:
        return []
    rows = cast("list[bytes | None]", redis.mget([item_key(item_id) for item_id in item_ids]))
    return [_item(item_id, raw) for item_id, raw in zip(item_ids, rows, strict=True)]


def get_items_by_key(redis: Redis, item_keys: Sequence[int]) -> list[Item | None]:
    """As `get_items`, by integer key, for packed lists."""
    if not item_keys:
        return []
    rows = cast("list[bytes | None]", redis.hmget(ITEM_IDS, [str(key) for key in item_keys]))
    names = [None if raw is None else _text(ITEM_IDS, raw) for raw in rows]
    found = iter(get_items(redis, [name for name in names if name is not None]))
    return [None if name is None else next(found) for name in names]


def _text(key: str, raw: bytes) -> str | None:
    """Return the id in the bytes, None when it is no text."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        left_out("item", key, error)
        return None


def _readable(key: str, rows: Iterable[tuple[bytes, float]]) -> list[tuple[str, float]]:
    """Return the ids with their scores, without those that are no text or no finite number."""
    kept: list[tuple[str, float]] = []
    for raw, score in rows:
        item_id = _text(key, raw)
        if item_id is None:
            continue
        if not math.isfinite(score):
            left_out("score", key, f"{score} is not finite")
            continue
        kept.append((item_id, float(score)))
    return kept


def _item(item_id: str, raw: bytes | None) -> Item | None:
    if raw is None:
        return None
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        left_out("item", item_key(item_id), error)
        return None
