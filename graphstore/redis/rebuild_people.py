"""Rebuilds the hot keys of all users from SQL: `recent:` and `seen:`.

Arrives: `users` and `edges`, one page of users at a time. Leaves: their keys exactly as in SQL. Next:
`graphstore.redis.rebuild`.

One script writes the keys of many users. It only adds, so nothing is lost when a worker adds at the same time. The
script returns the users whose keys then differ from SQL, because a worker was faster or the keys are old. These users,
and users with very many items, are replaced one by one (`graphstore.redis.people`). When a login or an erasure happens
meanwhile, the page is read again, and users who lost items are replaced, too. At the end a scan removes keys without a
user.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

import msgspec
from redis import Redis
from redis.commands.core import Script
from sqlalchemy import Connection, Engine, exists, func, or_, select

from graphstore import queries
from graphstore.redis import hot
from graphstore.redis.people import refresh_people
from graphstore.session import read
from graphstore.state import people_generation
from graphstore.tables import edges, items, users

PAGE_PERSONS = 500
REFRESHED_AT_ONCE = 100
SCAN_COUNT = 1000
FETCH_ROWS = 1000

_RESTORE = (
    hot.FENCED
    + """
local others, overtaken = {}, fence > tonumber(ARGV[1])
for user, times in pairs(cmsgpack.unpack(ARGV[2])) do
  if overtaken then
    others[#others + 1] = user
  else
    local recent, seen, scored, items = 'recent:' .. user, 'seen:' .. user, {}, {}
    for item, time in pairs(times) do
      scored[#scored + 1] = string.format('%d', time)
      scored[#scored + 1] = item
      items[#items + 1] = item
    end
    redis.call('ZADD', recent, 'GT', unpack(scored))
    redis.call('SADD', seen, unpack(items))
    redis.call('DEL', 'replacing:' .. user)
    local same = redis.call('ZCARD', recent) == #items and redis.call('SCARD', seen) == #items
    local found = same and redis.call('ZRANGE', recent, 0, -1, 'WITHSCORES') or {}
    for index = 1, #found, 2 do
      same = same and tonumber(found[index + 1]) == times[found[index]]
    end
    if not same then others[#others + 1] = user end
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
    """A page of persons by key: their item times (epoch ms), and the persons with too many items (`many`)."""

    persons: dict[int, str]
    generation: int
    times: dict[str, dict[str, int]] = field(default_factory=dict)
    many: set[str] = field(default_factory=set)


def count_persons(engine: Engine) -> int:
    """Count the persons, without sessions that belong to a person."""
    with read(engine) as connection:
        return int(connection.scalar(select(func.count()).where(users.c.person_key.is_(None))) or 0)


def rebuild_people(engine: Engine, redis: Redis, *, keep: int, alive: Callable[[int], None]) -> PeopleRebuilt:
    """Make every `recent:` (`keep` newest items) and `seen:` equal to SQL. `alive(persons done)` may raise to stop."""
    done = PeopleRebuilt()
    most = min(keep, hot.RECORD_TOUCHES)
    restore = redis.register_script(_RESTORE)
    last = 0
    while True:
        with read(engine) as connection:
            query = select(users.c.user_key, users.c.user_id).where(users.c.person_key.is_(None))
            rows = connection.execute(
                query.where(users.c.user_key > last).order_by(users.c.user_key).limit(PAGE_PERSONS)
            )
            persons = {row[0]: row[1] for row in rows}
            page = read_page(connection, persons, most)
        if not persons:
            break
        last = max(persons)
        odd = page.many | add_missing(restore, page.times, page.generation) | _changed(engine, page, most)
        for some in _chunks(sorted(odd), REFRESHED_AT_ONCE):
            refresh_people(engine, redis, some, keep=keep)
        done.persons += len(persons)
        done.edges += sum(len(times) for times in page.times.values())
        done.edges += sum(int(redis.scard(hot.seen_key(user))) for user in page.many)
        alive(done.persons)
    for prefix in (hot.recent_key(""), hot.seen_key("")):
        for stale in _stale(engine, redis, prefix):
            names = [key(user) for user in stale for key in (hot.recent_key, hot.seen_key)]
            done.removed += int(redis.exists(*names))
            for some in _chunks(stale, REFRESHED_AT_ONCE):
                refresh_people(engine, redis, some, keep=keep)
            alive(done.persons)
    return done


def read_page(connection: Connection, persons: Mapping[int, str], most: int) -> Page:
    """Read the item times of the persons with their sessions, for persons with at most `most` items."""
    page = Page(dict(persons), people_generation(connection))
    owners = dict(persons)
    for person, members in queries.sessions(connection, list(persons)).items():
        owners |= dict.fromkeys(members, persons[person])
    for keys in _chunks(list(owners), queries.MAX_PARAMETERS):
        query = (
            select(edges.c.user_key, items.c.item_id, edges.c.last_time)
            .join_from(edges, items, items.c.item_key == edges.c.item_key)
            .where(edges.c.user_key.in_(keys))
        )
        for key, item_id, time in connection.execute(query, execution_options={"yield_per": FETCH_ROWS}):
            user = owners[key]
            if user in page.many:
                continue
            times = page.times.setdefault(user, {})
            times[item_id] = max(time, times.get(item_id, time))
            if len(times) > most:
                page.many.add(user)
                del page.times[user]
    return page


def add_missing(restore: Script, times: Mapping[str, dict[str, int]], generation: int) -> set[str]:
    """Add these times of `generation` to Redis; return the users whose keys then hold something else."""
    others: set[str] = set()
    batch: dict[str, dict[str, int]] = {}
    size = 0
    for user, some in times.items():
        if size + len(some) > hot.RECORD_TOUCHES:
            others.update(name.decode() for name in cast("list[bytes]", restore(args=[generation, _pack(batch)])))
            batch, size = {}, 0
        batch[user] = some
        size += len(some)
    if batch:
        others.update(name.decode() for name in cast("list[bytes]", restore(args=[generation, _pack(batch)])))
    return others


def _changed(engine: Engine, page: Page, most: int) -> set[str]:
    """Return the users of the page who lost items after it was read, through a login or an erasure."""
    with read(engine) as connection:
        if people_generation(connection) == page.generation:
            return set()
        still = select(users.c.user_key).where(users.c.user_key.in_(list(page.persons)), users.c.person_key.is_(None))
        persons = {key: page.persons[key] for key in connection.scalars(still)}
        now = read_page(connection, persons, most)
    return {user for user, times in page.times.items() if _lost(times, now.times.get(user, {}))}


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
