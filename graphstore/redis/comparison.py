"""The comparison: looks for hot keys that differ from SQL, slowly and without end, and repairs them.

Arrives: the tables and Redis. Leaves: `recent:`, `seen:` and `bought:` as in SQL, and the number of repaired users,
which is 0 as long as the live path does its work. Users whose life is over have no keys, or the right
ones: an event that is delivered again after weeks makes them live longer. `shown:` is not compared: it
changes with each list, and only lowers an item a bit. Next: `stream.worker.rebuild_watch` calls it and counts.

A worker writes SQL first, and Redis a moment later. So a difference counts only when the same difference is there again
after `SETTLE_SECONDS`. All workers share one position in Redis, and one of them compares at a time.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from redis import Redis
from sqlalchemy import Engine, select

from graphstore import queries
from graphstore.redis import hot
from graphstore.redis.lifetime import Lifetime
from graphstore.redis.people import refresh_people
from graphstore.redis.rebuild_people import read_page
from graphstore.redis.remembered import arrivals, bought, members
from graphstore.session import read
from graphstore.tables import users

logger = logging.getLogger(__name__)

POSITION = "hot:compared"
"""The last compared user_key. Missing means 0."""

TURN = "hot:comparing"
TURN_SECONDS = 60

PAGE_PERSONS = 100
PAGE_KEYS = 500
MANY_ITEMS = 5_000
"""A person with more items is read alone."""

SETTLE_SECONDS = 60.0
"""A worker that died between SQL and Redis has been replaced, and its batch delivered again, within this time."""


Entry = tuple[str, int] | str | tuple[str, str, int]


class Difference(NamedTuple):
    """What one user's keys lack, and what they hold beyond SQL.

    Entries of `recent:` are (item_id, epoch ms), entries of `seen:` are item ids, entries of `bought:` are (item_id,
    "bought", epoch ms).
    """

    missing: frozenset["Entry"]
    extra: frozenset["Entry"]


@dataclass
class Compared:
    """The number of compared and of repaired users."""

    users: int = 0
    repaired: int = 0


@dataclass
class Comparison:
    """Compares one page of users in each `step`. `keep` is the length of `recent:`, `lifetime` the rule of now."""

    engine: Engine
    redis: Redis
    keep: int
    lifetime: Callable[[], Lifetime]
    settle_seconds: float = SETTLE_SECONDS
    _suspects: dict[str, tuple[float, Difference]] = field(default_factory=dict)
    """By user: when the difference was first found, and the difference."""
    _cursor: int = 0

    def step(self, *, now: float) -> Compared:
        """Compare the next persons, look for keys without a person, and repair what stays different.

        `now` is in seconds, of any clock that only rises. Raises `sqlalchemy.exc.DBAPIError`, `redis.RedisError`.
        """
        if not self.redis.set(TURN, "1", nx=True, ex=TURN_SECONDS):
            return Compared()
        try:
            persons = self._next_persons()
            done = Compared(users=len(persons))
            for user, difference in self._differences([*persons, *self._next_keys()]).items():
                self._suspects.setdefault(user, (now, difference))
            done.repaired = self._repair(now)
        finally:
            self.redis.delete(TURN)
        return done

    def _next_persons(self) -> list[str]:
        position = int(self.redis.get(POSITION) or 0)
        query = select(users.c.user_key, users.c.user_id).where(users.c.person_key.is_(None))
        with read(self.engine) as connection:
            rows = connection.execute(
                query.where(users.c.user_key > position).order_by(users.c.user_key).limit(PAGE_PERSONS)
            ).all()
        self.redis.set(POSITION, rows[-1].user_key if len(rows) == PAGE_PERSONS else 0)
        return [row.user_id for row in rows]

    def _next_keys(self) -> set[str]:
        """Return the users of the next keys in Redis who are no persons in SQL."""
        self._cursor, keys = cast("tuple[int, list[bytes]]", self.redis.scan(self._cursor, count=PAGE_KEYS))
        found = {user for key in keys if (user := _user_of(key)) is not None}
        return found - set(self._persons(found).values())

    def _persons(self, user_ids: Iterable[str]) -> dict[int, str]:
        query = select(users.c.user_key, users.c.user_id).where(users.c.person_key.is_(None))
        with read(self.engine) as connection:
            return {row[0]: row[1] for row in connection.execute(query.where(users.c.user_id.in_(list(user_ids))))}

    def _differences(self, user_ids: Iterable[str]) -> dict[str, Difference]:
        names = list(dict.fromkeys(user_ids))
        wanted = self._wanted(names)
        pipeline = self.redis.pipeline(transaction=False)
        for user in names:
            pipeline.zrange(hot.recent_key(user), 0, -1, withscores=True)
            pipeline.smembers(hot.seen_key(user))
            pipeline.zrange(hot.bought_key(user), 0, -1, withscores=True)
        answers = iter(pipeline.execute())
        found = {}
        for user in names:
            now: set[Entry] = {(item.decode(), int(time)) for item, time in next(answers)}
            now |= {item.decode() for item in next(answers)}
            now |= {(item.decode(), "bought", int(time)) for item, time in next(answers)}
            content, over = wanted[user]
            if now != content and not (over and not now):
                found[user] = Difference(frozenset(content - now), frozenset(now - content))
        return found

    def _wanted(self, names: list[str]) -> dict[str, tuple[set[Entry], bool]]:
        """Return what the keys of each user must hold, and whether they may be gone."""
        persons = self._persons(names)
        lifetime = self.lifetime()
        with read(self.engine) as connection:
            page = read_page(connection, persons, MANY_ITEMS, now=lifetime.now)
            times = page.times | {user: queries.item_times(connection, user) for user in page.many}
            many = {key: user for key, user in persons.items() if user in page.many}
            owners = {key: person for key, (_, person) in members(connection, many).items()}
            purchases = page.bought | bought(connection, owners)
            arrived = page.arrived | arrivals(connection, owners)
        over = {user for user in names if not lifetime.left_ms(arrived.get(user, 0))}
        return {user: (self._content(times.get(user, {}), purchases.get(user, {})), user in over) for user in names}

    def _content(self, times: Mapping[str, int], purchases: Mapping[str, int]) -> set[Entry]:
        newest = sorted(times.items(), key=lambda pair: (pair[1], pair[0].encode()))[-self.keep :]
        return {*newest, *times, *((item, "bought", time) for item, time in purchases.items())}

    def _repair(self, now: float) -> int:
        due = [user for user, (since, _) in self._suspects.items() if now - since >= self.settle_seconds]
        again = self._differences(due) if due else {}
        repaired = 0
        for user in due:
            _, before = self._suspects.pop(user)
            if again.get(user) != before:
                continue  # it has settled, or changes with the traffic
            logger.error(
                "the hot keys of %r differ from SQL and are repaired: missing %s, extra %s", user, *map(_shown, before)
            )
            refresh_people(self.engine, self.redis, [user], keep=self.keep, lifetime=self.lifetime())
            repaired += 1
        return repaired


def _user_of(key: bytes) -> str | None:
    """Return the user of a hot key, None for any other key."""
    prefix, _, user = key.partition(b":")
    try:
        return user.decode() if prefix in (b"recent", b"seen", b"bought") else None
    except UnicodeDecodeError:
        return None


def _shown(entries: frozenset[Entry]) -> str:
    return ", ".join(sorted(map(repr, entries))[:5]) + (f" and {len(entries) - 5} more" if len(entries) > 5 else "")
