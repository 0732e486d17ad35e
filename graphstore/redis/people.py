"""Rebuilds the hot keys of single persons from SQL, after a login or an erasure.

Arrives: user ids. Leaves: `recent:` and `seen:` of their persons as in SQL, and no keys of sessions or of forgotten
users. `graphstore.redis.hot` adds to these keys; this module replaces them.
"""

from collections.abc import Iterable, Mapping
from functools import partial

from redis import Redis
from sqlalchemy import Engine, select

from graphstore import queries
from graphstore.redis import hot
from graphstore.redis.fence import Overtaken, lower
from graphstore.session import read
from graphstore.state import people_generation
from graphstore.tables import users
from graphstore.upserts import erased_of


def refresh_people(engine: Engine, redis: Redis, user_ids: Iterable[str], *, keep: int) -> None:
    """Rebuild the hot keys of these ids and of their persons. `recent:` keeps the newest `keep` items.

    When a login changes an identity during the writes, the rebuild repeats.
    """
    generation = _generation(engine)
    known = who_is_whom(engine, user_ids)
    while True:
        try:
            _write(engine, redis, known, generation, keep)
        except Overtaken as overtaken:
            generation = _generation(engine)
            if generation < overtaken.fence:  # read after the refusal, so SQL is older than what Redis was told
                lower(redis, overtaken, generation)
            known = who_is_whom(engine, known)
            continue
        generation = _generation(engine)
        before, known = known, who_is_whom(engine, known)
        if known == before:
            return


def _write(engine: Engine, redis: Redis, known: Mapping[str, str | None], generation: int, keep: int) -> None:
    hot.forget_members(
        redis, [user_id for user_id, person in known.items() if person != user_id], generation=generation
    )
    for person in [user_id for user_id, person in known.items() if person == user_id]:
        hot.replace(redis, person, partial(_item_times, engine, person), keep=keep)


def who_is_whom(engine: Engine, user_ids: Iterable[str]) -> dict[str, str | None]:
    """Return the person of each id, and each person itself, sorted; None for a forgotten id."""
    ids = sorted(set(user_ids))
    with read(engine) as connection:
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


def _item_times(engine: Engine, user_id: str) -> tuple[int, dict[str, int]]:
    with read(engine) as connection:
        return people_generation(connection), queries.item_times(connection, user_id)


def _generation(engine: Engine) -> int:
    with read(engine) as connection:
        return people_generation(connection)
