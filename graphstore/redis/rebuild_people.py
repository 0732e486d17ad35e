"""Rebuilds the hot keys of all users from SQL: `recent:`, `seen:`, `bought:` and `shown:`.

Arrives: `users`, their events and lists, one page of users at a time. Leaves: their keys exactly as in SQL, without
users whose life is over (`graphstore.redis.lifetime`). Next: `graphstore.redis.rebuild`, and the worker for
users who come again (`restore_people`).

One script writes the keys of many users. It only adds, so nothing is lost when a worker adds at the same time. The
script returns the users whose keys then differ from SQL, because a worker was faster or the keys are old. These users,
and users with very many items, are replaced one by one (`graphstore.redis.people`). When a login or an erasure happens
meanwhile, the page is read again, and users who lost items are replaced, too. At the end a scan removes keys without a
user.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

import msgspec
from redis import Redis
from sqlalchemy import Connection, Engine, exists, func, or_, select

from graphstore import queries
from graphstore.redis import hot, remembered, shown
from graphstore.redis.fence import Overtaken
from graphstore.redis.lifetime import Lifetime
from graphstore.redis.people import refresh_people
from graphstore.session import read
from graphstore.state import people_generation
from graphstore.tables import edges, items, users

PAGE_PERSONS = 500
REFRESHED_AT_ONCE = 100
SCAN_COUNT = 1000
FETCH_ROWS = 1000

# Answers the users whose keys then hold something else, or who are over but have keys.
_RESTORE = (
    hot.FENCED
    + """
local others, overtaken = {}, fence > tonumber(ARGV[1])
local function add(key, times, items)
  local scored = {}
  for item, time in pairs(times) do
    scored[#scored + 1] = string.format('%d', time)
    scored[#scored + 1] = item
    items[#items + 1] = item
  end
  if #scored > 0 then redis.call('ZADD', key, 'GT', unpack(scored)) end
end
local function equal(key, times, number)
  if redis.call('ZCARD', key) ~= number then return false end
  local found = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for index = 1, #found, 2 do
    if tonumber(found[index + 1]) ~= times[found[index]] then return false end
  end
  return true
end
for user, both in pairs(cmsgpack.unpack(ARGV[2])) do
  local recent, seen, bought = 'recent:' .. user, 'seen:' .. user, 'bought:' .. user
  local items, purchased, left = {}, {}, both[3]
  if overtaken then
    others[#others + 1] = user
  elseif left <= 0 then
    if redis.call('EXISTS', recent, seen, bought) > 0 then others[#others + 1] = user end
  else
    add(recent, both[1], items)
    add(bought, both[2], purchased)
    redis.call('SADD', seen, unpack(items))
    redis.call('DEL', 'replacing:' .. user)
    left = math.max(left, redis.call('PTTL', recent))
    for _, key in ipairs({recent, seen, bought}) do redis.call('PEXPIRE', key, string.format('%d', left)) end
    local same = redis.call('SCARD', seen) == #items
    if not (same and equal(recent, both[1], #items) and equal(bought, both[2], #purchased)) then
      others[#others + 1] = user
    end
  end
end
return others
"""
)

_pack = msgspec.msgpack.Encoder().encode


@dataclass
class PeopleRebuilt:
    """The number of written persons and edges, and of removed keys."""

    persons: int = 0
    edges: int = 0
    removed: int = 0


@dataclass
class Page:
    """A page of persons by key: what is remembered of each (epoch ms), and the persons with too many items (`many`)."""

    persons: dict[int, str]
    generation: int
    times: dict[str, dict[str, int]] = field(default_factory=dict)
    bought: dict[str, dict[str, int]] = field(default_factory=dict)
    shown: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    arrived: dict[str, int] = field(default_factory=dict)
    many: set[str] = field(default_factory=set)


def count_persons(engine: Engine) -> int:
    """Count the persons, without sessions that belong to a person."""
    with read(engine) as connection:
        return int(connection.scalar(select(func.count()).where(users.c.person_key.is_(None))) or 0)


def rebuild_people(
    engine: Engine, redis: Redis, *, keep: int, lifetime: Callable[[], Lifetime], alive: Callable[[int], None]
) -> PeopleRebuilt:
    """Make the keys of all users equal to SQL. `recent:` has the `keep` newest items. `alive(persons done)` may raise
    to stop. Of keys that are there, the time to live is never shortened."""
    done = PeopleRebuilt()
    last = 0
    while True:
        with read(engine) as connection:
            query = select(users.c.user_key, users.c.user_id).where(users.c.person_key.is_(None))
            rows = connection.execute(
                query.where(users.c.user_key > last).order_by(users.c.user_key).limit(PAGE_PERSONS)
            )
            persons = {row[0]: row[1] for row in rows}
            page = read_page(connection, persons, _most(keep), now=lifetime().now)
        if not persons:
            break
        last = max(persons)
        _write_page(engine, redis, page, keep=keep, lifetime=lifetime())
        done.persons += len(persons)
        done.edges += sum(len(times) for times in page.times.values())
        done.edges += sum(int(redis.scard(hot.seen_key(user))) for user in page.many)
        alive(done.persons)
    for prefix in (hot.recent_key(""), hot.seen_key(""), hot.bought_key("")):
        for stale in _stale(engine, redis, prefix):
            names = [key(user) for user in stale for key in hot.USER_KEYS]
            done.removed += int(redis.exists(*names))
            for some in _chunks(stale, REFRESHED_AT_ONCE):
                refresh_people(engine, redis, some, keep=keep, lifetime=lifetime())
            alive(done.persons)
    return done


def restore_people(engine: Engine, redis: Redis, user_ids: Iterable[str], *, keep: int, lifetime: Lifetime) -> None:
    """Write the keys of persons whom Redis has forgotten and who come again, all that SQL knows of them.

    Raises `sqlalchemy.exc.DBAPIError`, `redis.RedisError`.
    """
    with read(engine) as connection:
        keys = queries.user_keys(connection, sorted(user_ids))
        page = read_page(connection, {key: name for name, key in keys.items()}, _most(keep), now=lifetime.now)
    _write_page(engine, redis, page, keep=keep, lifetime=lifetime)


def _most(keep: int) -> int:
    """Return how many items of a user the scripts write; a user with more is replaced alone."""
    return min(keep, hot.RECORD_TOUCHES)


def _write_page(engine: Engine, redis: Redis, page: Page, *, keep: int, lifetime: Lifetime) -> None:
    odd = page.many | add_missing(redis, page, lifetime) | _changed(engine, page, _most(keep), lifetime.now)
    for some in _chunks(sorted(odd), REFRESHED_AT_ONCE):
        refresh_people(engine, redis, some, keep=keep, lifetime=lifetime)


def read_page(connection: Connection, persons: Mapping[int, str], most: int, *, now: int) -> Page:
    """Read what is remembered at `now` (epoch ms) of the persons with at most `most` items, with their sessions."""
    page = Page(dict(persons), people_generation(connection))
    owners = remembered.members(connection, persons)
    buyers: dict[int, str] = {}
    for keys in _chunks(list(owners), queries.MAX_PARAMETERS):
        query = (
            select(edges.c.user_key, items.c.item_id, edges.c.last_time, edges.c.purchases)
            .join_from(edges, items, items.c.item_key == edges.c.item_key)
            .where(edges.c.user_key.in_(keys))
        )
        for key, item_id, time, purchases in connection.execute(query, execution_options={"yield_per": FETCH_ROWS}):
            user = owners[key][1]
            if user in page.many:
                continue
            if purchases:
                buyers[key] = user
            times = page.times.setdefault(user, {})
            times[item_id] = max(time, times.get(item_id, time))
            if len(times) > most:
                page.many.add(user)
                del page.times[user]
    few = {key: of for key, of in owners.items() if of[1] in page.times}
    # With every session of a buyer: one of them may have taken back what another has bought.
    bought_by = set(buyers.values())
    page.bought = remembered.bought(connection, {key: user for key, (_, user) in few.items() if user in bought_by})
    page.arrived = remembered.arrivals(connection, {key: user for key, (_, user) in few.items()})
    page.shown = remembered.shown(connection, dict(few.values()), page.times, now=now)
    return page


def add_missing(redis: Redis, page: Page, lifetime: Lifetime) -> set[str]:
    """Add what the page remembers to Redis; return the users whose keys then hold something else."""
    restore = redis.register_script(_RESTORE)
    others: set[str] = set()
    for users_at_once in _users_at_once(page.times):
        batch = {
            user: (page.times[user], page.bought.get(user, {}), lifetime.left_ms(page.arrived.get(user, 0)))
            for user in users_at_once
        }
        names = restore(args=[page.generation, _pack(batch)])
        others.update(name.decode() for name in cast("list[bytes]", names))
    lists = (
        (user, item_id, time)
        for user, items in page.shown.items()
        if user not in others and lifetime.left_ms(page.arrived.get(user, 0))
        for item_id, times in items.items()
        for time in times
    )
    try:
        shown.record(redis, lists, lifetime, generation=page.generation)
    except Overtaken:
        others.update(page.shown)
    return others


def _users_at_once(times: Mapping[str, Mapping[str, int]]) -> Iterator[list[str]]:
    """Yield users with `hot.RECORD_TOUCHES` items together, or one user with more."""
    batch: list[str] = []
    size = 0
    for user, some in times.items():
        if batch and size + len(some) > hot.RECORD_TOUCHES:
            yield batch
            batch, size = [], 0
        batch.append(user)
        size += len(some)
    if batch:
        yield batch


def _changed(engine: Engine, page: Page, most: int, now: int) -> set[str]:
    """Return the users of the page who lost items after it was read, through a login or an erasure."""
    with read(engine) as connection:
        if people_generation(connection) == page.generation:
            return set()
        still = select(users.c.user_key).where(users.c.user_key.in_(list(page.persons)), users.c.person_key.is_(None))
        persons = {key: page.persons[key] for key in connection.scalars(still)}
        later = read_page(connection, persons, most, now=now)
    return {user for user, times in page.times.items() if _lost(times, later.times.get(user, {}))}


def _lost(before: Mapping[str, int], after: Mapping[str, int]) -> bool:
    return any(after.get(item_id, -1) < time for item_id, time in before.items())


def _stale(engine: Engine, redis: Redis, prefix: str) -> Iterator[list[str]]:
    """Yield, in chunks, the users with a key of this prefix and no events in SQL."""
    keys = redis.scan_iter(match=f"{prefix}*", count=SCAN_COUNT)
    while some := list(islice(keys, SCAN_COUNT)):
        names = [name for name in (_decoded(key) for key in some) if name is not None]
        ids = [name.removeprefix(prefix) for name in names]
        with read(engine) as connection:
            known = set(connection.scalars(_touching(ids)))
        if unknown := [user for user in ids if user not in known]:
            yield unknown


def _touching(ids: Sequence[str]) -> Any:
    """Select the ids of persons with an event of their own or of a session."""
    session = users.alias()
    own = exists().where(edges.c.user_key == users.c.user_key)
    by_session = exists().where(session.c.person_key == users.c.user_key, edges.c.user_key == session.c.user_key)
    return select(users.c.user_id).where(users.c.user_id.in_(ids), users.c.person_key.is_(None), or_(own, by_session))


def _decoded(key: bytes) -> str | None:
    """Return the key as text, or None for a key of another program."""
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None


def _chunks(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))
