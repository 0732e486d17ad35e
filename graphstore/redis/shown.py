"""Shown: how often a shopper was shown an item since the last event with it, for the rule of fatigue.

Arrives: what was shown when, of lists that their reader vouches for (`impressions.confirmed`) or that were truly seen.
Leaves: `shown:{user}`, a hash of item_id → the times of the lists. Next:
`serving.slots.visit` counts them for the rules.

A batch may be delivered twice, and impressions, looks and clicks arrive in any order. So a number is not stored but the
set of times, in seconds: the same list is the same time, whether its impression comes twice or a look at it follows.
A time counts while it is later than the last event with the item, which `recent:` knows, so a click before or after
its impression leaves the same. Rejected: to count new rows with HINCRBY, because a worker that dies between SQL and
Redis would lose them or count them twice; and the ids of requests, because they need four times the memory.

A time takes four bytes. `MAX_TIMES` of an item and `MAX_ITEMS` of a shopper are kept, the newest: a count never exceeds
`MAX_TIMES`. This module does not import SQLAlchemy.
"""

import struct
from collections.abc import Iterable, Mapping
from itertools import islice

import msgspec
from redis import Redis

from graphstore.redis import fence
from graphstore.redis.corrupt import left_out
from graphstore.redis.fence import FENCE, OPEN
from graphstore.redis.lifetime import DAY_MS, Lifetime

MAX_TIMES = 32
MAX_ITEMS = 500
SHOWN_DAYS = 30
"""Lists that are older do not count."""

RECORD_ITEMS = 500
"""Items in one call. Redis serves no other client during a call."""

_SECOND_MS = 1000

PACKING = """
local function pack_times(times)
  local packed = {}
  for place, time in ipairs(times) do packed[place] = struct.pack('<I4', time) end
  return table.concat(packed)
end
local function later(packed, last)
  local kept = {}
  for place = 1, #packed - 3, 4 do
    if struct.unpack('<I4', packed, place) > last then kept[#kept + 1] = string.sub(packed, place, place + 3) end
  end
  return table.concat(kept)
end
"""
"""Lua: packs times, and returns the packed times after a second."""

_RECORD = (
    PACKING
    + f"""
local fence = tonumber(redis.call('GET', '{FENCE}') or 0)
if fence > tonumber(ARGV[1]) then return fence end
local now, life = tonumber(ARGV[2]), tonumber(ARGV[3])
for user, items in pairs(cmsgpack.unpack(ARGV[4])) do
  local key, recent, newest = 'shown:' .. user, 'recent:' .. user, 0
  for _, times in pairs(items) do
    for _, time in ipairs(times) do newest = math.max(newest, time) end
  end
  local left = newest * 1000 + life - now
  if left > 0 then
    for item, times in pairs(items) do
      local last = math.floor((tonumber(redis.call('ZSCORE', recent, item)) or -1000) / 1000)
      local known, merged, order, kept = redis.call('HGET', key, item) or '', {{}}, {{}}, {{}}
      for place = 1, #known - 3, 4 do merged[struct.unpack('<I4', known, place)] = true end
      for _, time in ipairs(times) do merged[time] = true end
      for time in pairs(merged) do
        if time > last then order[#order + 1] = time end
      end
      table.sort(order)
      for place = math.max(1, #order - {MAX_TIMES - 1}), #order do
        kept[#kept + 1] = order[place]
      end
      if #kept > 0 then
        redis.call('HSET', key, item, pack_times(kept))
      else
        redis.call('HDEL', key, item)
      end
    end
    local number = redis.call('HLEN', key)
    if number > {MAX_ITEMS} then
      local all, order = redis.call('HGETALL', key), {{}}
      for place = 1, #all, 2 do
        order[#order + 1] = {{struct.unpack('<I4', all[place + 1], #all[place + 1] - 3), all[place]}}
      end
      table.sort(order, function(one, other)
        return one[1] < other[1] or (one[1] == other[1] and one[2] < other[2])
      end)
      for place = 1, number - {MAX_ITEMS} do redis.call('HDEL', key, order[place][2]) end
    end
    redis.call('DEL', 'replacing:' .. user)
    if redis.call('PTTL', key) < left then redis.call('PEXPIRE', key, string.format('%d', left)) end
  end
end
return 0
"""
)

_pack = msgspec.msgpack.Encoder().encode

Shown = tuple[str, str, int]
"""(user_id, item_id, the time of the list in epoch ms)."""


def record(redis: Redis, lists: Iterable[Shown], lifetime: Lifetime, *, generation: int = OPEN) -> None:
    """Add what was shown. Items with a later event are left out.

    `generation` is the generation of identities at which the user ids were read. Raises
    `graphstore.redis.fence.Overtaken` when identities changed since; a part may be written then.
    """
    times: dict[tuple[str, str], list[int]] = {}
    for user_id, item_id, time in lists:
        times.setdefault((user_id, item_id), []).append(time)
    script = redis.register_script(_RECORD)
    entries = iter(times.items())
    while some := list(islice(entries, RECORD_ITEMS)):
        by_user: dict[str, dict[str, list[int]]] = {}
        for (user_id, item_id), shown_at in some:
            by_user.setdefault(user_id, {})[item_id] = seconds(shown_at)
        fence.check(script(args=[generation, lifetime.now, lifetime.life_ms, _pack(by_user)]))


def seconds(times: Iterable[int]) -> list[int]:
    """Return what is kept of times (epoch ms): the newest `MAX_TIMES` different seconds, ascending."""
    return sorted({second(time) for time in times})[-MAX_TIMES:]


def second(time: int) -> int:
    """Return the second of a time (epoch ms). A list counts when its second is later than that of the last event."""
    return time // _SECOND_MS


def counts(key: str, hashed: Mapping[bytes, bytes], *, now: int) -> dict[str, int]:
    """Return how often each item was shown in the `SHOWN_DAYS` before `now` (epoch ms), from the hash's content."""
    oldest = (now - SHOWN_DAYS * DAY_MS) // _SECOND_MS
    found: dict[str, int] = {}
    for name, raw in hashed.items():
        try:
            item_id, times = name.decode(), struct.unpack(f"<{len(raw) // 4}I", raw)
        except (UnicodeDecodeError, struct.error) as error:
            left_out("item", key, error)
            continue
        if count := sum(time > oldest for time in times):
            found[item_id] = count
    return found
