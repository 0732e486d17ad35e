"""Rebuilds the hot keys of single persons from SQL, after a login or an erasure.

Arrives: user ids. Leaves: the keys of their persons as in SQL, and no keys of sessions or of forgotten users.
`graphstore.redis.hot` and `graphstore.redis.shown` add to these keys; this module replaces them.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from redis import Redis
from sqlalchemy import Connection, Engine, select

from graphstore import queries
from graphstore.redis import hot, remembered
from graphstore.redis.fence import Overtaken, lower
from graphstore.redis.hot import Remembered
from graphstore.redis.lifetime import Lifetime
from graphstore.session import read
from graphstore.state import people_generation
from graphstore.tables import users
from graphstore.upserts import erased_of

_T = TypeVar("_T")


def refresh_people(engine: Engine, redis: Redis, user_ids: Iterable[str], *, keep: int, lifetime: Lifetime) -> None:
    """Rebuild the hot keys of these ids and of their persons. `recent:` keeps the newest `keep` items.

    A person whose `lifetime` is over has no keys then.

    A login during the writes refuses only the write that it overtakes, which is repeated. In the end the ids whose
    person has changed are written again, with the persons whom they left. To repeat all was rejected: where logins
    come faster than some thousand persons are written, a worker never came to an end.
    """
    known: dict[str, str | None] = {}
    due = set(user_ids)
    while due:
        found = _forget(engine, redis, due)
        left = {person for user_id in due if (person := known.get(user_id)) is not None}
        persons = {person for person in found.values() if person is not None}
        persons |= {person for person in left if found.get(person, person) == person}
        for person in sorted(persons):
            found_now = partial(_remembered, engine, person, lifetime.now)
            _until_taken(engine, redis, partial(hot.replace, redis, person, found_now, keep=keep, lifetime=lifetime))
        known |= found
        now = who_is_whom(engine, known)
        due = {user_id for user_id, person in now.items() if user_id not in known or person != known[user_id]}


def _forget(engine: Engine, redis: Redis, user_ids: Iterable[str]) -> dict[str, str | None]:
    """Delete the keys of those among the ids that are no persons. Return the person of each id, and the persons."""

    def forget() -> dict[str, str | None]:
        generation = _generation(engine)  # first, so that the persons are as new or newer
        known = who_is_whom(engine, user_ids)
        members = [user_id for user_id, person in known.items() if person != user_id]
        hot.forget_members(redis, members, generation=generation)
        return known

    return _until_taken(engine, redis, forget)


def _until_taken(engine: Engine, redis: Redis, write: Callable[[], _T]) -> _T:
    """Repeat a write, which reads SQL itself, until no login overtakes it."""
    while True:
        try:
            return write()
        except Overtaken as overtaken:
            generation = _generation(engine)
            if generation < overtaken.fence:  # read after the refusal, so SQL is older than what Redis was told
                lower(redis, overtaken, generation)


def who_is_whom(engine: Engine, user_ids: Iterable[str]) -> dict[str, str | None]:
    """Return the person of each id, and each person itself, sorted; None for a forgotten id."""
    with read(engine) as connection:
        return persons_of(connection, user_ids)


def persons_of(connection: Connection, user_ids: Iterable[str]) -> dict[str, str | None]:
    """As `who_is_whom`, in the caller's transaction."""
    ids = sorted(set(user_ids))
    gone = erased_of(connection, ids)
    person = users.alias()
    query = (
        select(users.c.user_id, person.c.user_id)
        .join(person, person.c.user_key == users.c.person_key)
        .where(users.c.user_id.in_(ids))
    )
    persons = {row[0]: row[1] for row in connection.execute(query)}
    known = {user_id: None if user_id in gone else persons.get(user_id, user_id) for user_id in ids}
    return dict(sorted({**{person: person for person in persons.values()}, **known}.items()))


def _remembered(engine: Engine, user_id: str, now: int) -> tuple[int, Remembered]:
    with read(engine) as connection:
        times = queries.item_times(connection, user_id)
        keys = {key: name for name, key in queries.user_keys(connection, [user_id]).items()}
        owners = remembered.members(connection, keys)
        purchases = remembered.bought(connection, {key: person for key, (_, person) in owners.items()})
        lists = remembered.shown(connection, dict(owners.values()), {user_id: times}, now=now)
        arrived = remembered.arrivals(connection, {key: person for key, (_, person) in owners.items()})
        content = Remembered(times, purchases.get(user_id, {}), lists.get(user_id, {}), arrived.get(user_id, 0))
        return people_generation(connection), content


def _generation(engine: Engine) -> int:
    with read(engine) as connection:
        return people_generation(connection)
