"""The hot neighbourhood in Redis: each user's recent, seen and bought items, and trending items.

Arrives: interactions after their SQL commit. Leaves: the keys below. Next: `serving` reads them.

Every command is idempotent (`ZADD GT`, `SADD`, `SET`, absolute counts, never `ZINCRBY`): a batch that is delivered
twice leaves the same content. SQL can rebuild every key. This module does not import SQLAlchemy, because the web
process uses it.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import cast

import msgspec
from redis import Redis

from graphstore.redis import fence
from graphstore.redis.corrupt import readable_scores, text_of
from graphstore.redis.fence import FENCE, OPEN
from graphstore.redis.lifetime import VISITOR_DAYS, Lifetime
from graphstore.redis.shown import PACKING, seconds

RECENT_ITEMS = 200
"""Items kept in `recent:{user}`: it bounds one shopper's memory; readers ask for tens."""

BOUGHT_ITEMS = 200
"""Items kept in `bought:{user}`."""

TRENDING_ITEMS = 200
"""Items kept in `trending:{window}`: twice what the API gives at most, since some cannot be bought."""


@dataclass(frozen=True)
class HotLimits:
    """How much Redis keeps: items of `recent:` and of `trending:`, and days after a shopper's last event."""

    recent_items: int = RECENT_ITEMS
    trending_items: int = TRENDING_ITEMS
    visitor_days: int = VISITOR_DAYS


HOT_LIMITS = HotLimits()

TRENDING_WINDOWS_HOURS = {"1h": 1, "24h": 24, "7d": 168}
"""The windows of `trending:{window}` in hours, shortest first: the current hour and the hours before it."""


def recent_key(user_id: str) -> str:
    """Sorted set: item_id by the time (epoch ms) of the last interaction with it."""
    return f"recent:{user_id}"


def seen_key(user_id: str) -> str:
    """Set: every item_id that the user interacted with."""
    return f"seen:{user_id}"


def bought_key(user_id: str) -> str:
    """Sorted set: item_id by the time (epoch ms) of the last purchase that was not taken back."""
    return f"bought:{user_id}"


def shown_key(user_id: str) -> str:
    """Hash: item_id → when it was shown since the last event with it, see `graphstore.redis.shown`."""
    return f"shown:{user_id}"


USER_KEYS = (recent_key, seen_key, bought_key, shown_key)
"""What Redis remembers of a person."""

Touch = tuple[str, str, int]
"""(user_id, item_id, event_time in epoch ms)."""


def replacing_key(user_id: str) -> str:
    """Hash: the processes that are about to replace the user's keys. A write to these keys deletes it."""
    return f"replacing:{user_id}"


def trending_key(window: str) -> str:
    """Sorted set: item_id by its count in the window (`1h`, `24h`, `7d`)."""
    return f"trending:{window}"


_pack = msgspec.msgpack.Encoder().encode


# One script call for many users: a pipeline of single commands costs the client ten times as much. cmsgpack is a part
# of Redis and Valkey. Each script first compares the generation with the fence, in the same step as it writes.
FENCED = f"""
local fence = tonumber(redis.call('GET', '{FENCE}') or 0)
"""

# To delete the marks of replacements is the sign that makes them read SQL again. A watch on the keys would miss a
# touch that changes nothing, because the key holds a later time of a session that is about to leave the person.
# Answers the fence, or 0 and the users whose keys are not there and who are not new: Redis has forgotten them. Nothing
# is written of them here, because half a memory would look like a whole one.
# ARGV: keep, generation, the milliseconds that keys live (0: without end), touched, new.
_RECORD = (
    FENCED
    + PACKING
    + """
if fence > tonumber(ARGV[2]) then return {fence} end
local keep, life = tonumber(ARGV[1]), tonumber(ARGV[3])
local touched, new, answer = cmsgpack.unpack(ARGV[4]), {}, {0}
for _, user in ipairs(cmsgpack.unpack(ARGV[5])) do new[user] = true end
local function write(key, times, keep)
  local scored = {}
  for item, time in pairs(times) do
    scored[#scored + 1] = string.format('%d', time)
    scored[#scored + 1] = item
  end
  if #scored == 0 then return end
  redis.call('ZADD', key, 'GT', unpack(scored))
  redis.call('ZREMRANGEBYRANK', key, 0, -keep - 1)
end
for user, both in pairs(touched) do
  local recent, seen, shown, bought = 'recent:' .. user, 'seen:' .. user, 'shown:' .. user, 'bought:' .. user
  local times, items = both[1], {}
  for item in pairs(times) do items[#items + 1] = item end
  if life > 0 and not new[user] and redis.call('EXISTS', recent) == 0 then
    answer[#answer + 1] = user
  else
    write(recent, times, keep)
    write(bought, both[2], BOUGHT)
    redis.call('SADD', seen, unpack(items))
    if redis.call('EXISTS', shown) == 1 then
      for item, time in pairs(times) do
        local known = redis.call('HGET', shown, item)
        if known then
          local rest = later(known, math.floor(time / 1000))
          if rest == '' then redis.call('HDEL', shown, item) else redis.call('HSET', shown, item, rest) end
        end
      end
    end
    redis.call('DEL', 'replacing:' .. user)
    if life > 0 then
      -- Not with each event of a visit: it would be half of the work.
      local left = redis.call('PTTL', recent)
      if left < life - HOUR then
        for _, key in ipairs({recent, seen, bought}) do redis.call('PEXPIRE', key, ARGV[3]) end
      elseif next(both[2]) then
        redis.call('PEXPIRE', bought, string.format('%d', left))
      end
    end
  end
end
return answer
""".replace("BOUGHT", str(BOUGHT_ITEMS)).replace("HOUR", str(3_600_000))
)

_FORGET = (
    FENCED
    + """
if fence > tonumber(ARGV[1]) then return fence end
for _, user in ipairs(cmsgpack.unpack(ARGV[2])) do
  redis.call('DEL', 'recent:' .. user, 'seen:' .. user, 'bought:' .. user, 'shown:' .. user, 'replacing:' .. user)
end
return 0
"""
)

# Answers 0 when the keys are replaced, -1 when somebody wrote to them after the mark, else the fence.
# ARGV: user, token, keep, generation, times, bought, shown, and the milliseconds that the keys live (0: without end).
_REPLACE = (
    FENCED
    + PACKING
    + """
local user, keep, left = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[8])
local recent, seen, bought, mark = 'recent:' .. user, 'seen:' .. user, 'bought:' .. user, 'replacing:' .. user
local shown, lists = 'shown:' .. user, cmsgpack.unpack(ARGV[7])
if fence > tonumber(ARGV[4]) then return fence end
if redis.call('HDEL', mark, ARGV[2]) == 0 then return -1 end
local until_then = redis.call('PTTL', shown)
redis.call('DEL', recent, seen, bought, shown, mark)
local function write(key, times, set)
  local scored, items = {}, {}
  local function flush()
    if #items == 0 then return end
    redis.call('ZADD', key, unpack(scored))
    if set then redis.call('SADD', set, unpack(items)) end
    scored, items = {}, {}
  end
  for item, time in pairs(times) do
    scored[#scored + 1] = string.format('%d', time)
    scored[#scored + 1] = item
    items[#items + 1] = item
    if #items == 1000 then flush() end
  end
  flush()
end
write(recent, cmsgpack.unpack(ARGV[5]), seen)
redis.call('ZREMRANGEBYRANK', recent, 0, -keep - 1)
write(bought, cmsgpack.unpack(ARGV[6]))
for item, times in pairs(lists) do redis.call('HSET', shown, item, pack_times(times)) end
if left > 0 then
  for _, key in ipairs({recent, seen, bought}) do redis.call('PEXPIRE', key, ARGV[8]) end
  redis.call('PEXPIRE', shown, string.format('%d', math.max(left, until_then)))
end
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


def record(
    redis: Redis,
    touches: Iterable[Touch],
    *,
    keep: int,
    bought: Iterable[Touch] = (),
    lifetime: Lifetime | None = None,
    new: Collection[str] = (),
    generation: int = OPEN,
) -> set[str]:
    """Write touches to `recent:` (the newest `keep`) and `seen:`, and purchases, which are touches too, to `bought:`.

    Args:
        redis: Receives the keys.
        touches: The events.
        keep: The length of `recent:`.
        bought: The purchases among them.
        lifetime: When the keys expire. With None they stay.
        new: Users without any earlier event.
        generation: The generation of identities at which the user ids were read.

    Returns:
        The users whom Redis has forgotten. Nothing is written of them: the caller restores them from SQL.

    Raises:
        graphstore.redis.fence.Overtaken: Identities changed since `generation`. Some touches may be written then.
    """
    newest, purchases = _newest(touches), _newest(bought)
    script = redis.register_script(_RECORD)
    life = 0 if lifetime is None else lifetime.life_ms
    forgotten: set[str] = set()
    pairs = iter(newest.items())
    while chunk := list(islice(pairs, RECORD_TOUCHES)):
        by_user: dict[str, tuple[dict[str, int], dict[str, int]]] = {}
        for pair, time in chunk:
            user_id, item_id = pair
            times, bought_times = by_user.setdefault(user_id, ({}, {}))
            times[item_id] = time
            if pair in purchases:
                bought_times[item_id] = purchases[pair]
        fresh = [user_id for user_id in by_user if user_id in new]
        answer, *names = script(args=[keep, generation, life, _pack(by_user), _pack(fresh)])
        fence.check(answer)
        forgotten.update(name.decode() for name in names)
    return forgotten


def _newest(touches: Iterable[Touch]) -> dict[tuple[str, str], int]:
    newest: dict[tuple[str, str], int] = {}
    for user_id, item_id, time in touches:
        pair = (user_id, item_id)
        newest[pair] = max(time, newest.get(pair, time))
    return newest


@dataclass(frozen=True)
class Remembered:
    """What the keys of one person hold. Times are epoch ms."""

    times: Mapping[str, int] = field(default_factory=dict)
    """The last event with each item."""
    bought: Mapping[str, int] = field(default_factory=dict)
    """The last purchase of an item, of the newest `BOUGHT_ITEMS`."""
    shown: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """The lists since the last event with an item."""
    arrived_at: int = 0
    """When the last event arrived."""


def replace(
    redis: Redis,
    user_id: str,
    read: Callable[[], tuple[int, Remembered]],
    *,
    keep: int,
    lifetime: Lifetime | None,
) -> None:
    """Replace the user's keys by the result of `read`; without keys when Redis has to forget the user.

    `read` returns the generation of identities and what is remembered, from one transaction. When another worker
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
        generation, found = read()
        left = 0 if lifetime is None else lifetime.left_ms(found.arrived_at)
        if lifetime is not None and not left:
            found = Remembered()
        shown_times = {item_id: seconds(times) for item_id, times in found.shown.items()}
        parts = (_pack(dict(found.times)), _pack(dict(found.bought)), _pack(shown_times))
        answer = script(args=[user_id, token, keep, generation, *parts, left])
        if answer != WRITTEN_MEANWHILE:
            fence.check(answer)
            return


def forget(redis: Redis, user_ids: Sequence[str]) -> int:
    """Delete all keys of erased ids; return the number of deleted keys."""
    names = [key(user_id) for user_id in user_ids for key in USER_KEYS]
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
    return [(item, int(time)) for item, time in readable_scores(recent_key(user_id), rows)]


def seen(redis: Redis, user_id: str) -> set[str]:
    """Return every item that the user interacted with."""
    items = cast("set[bytes]", redis.smembers(seen_key(user_id)))
    return {item for raw in items if (item := text_of(seen_key(user_id), raw)) is not None}


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
    return readable_scores(trending_key(window), rows)
