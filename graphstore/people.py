"""Hot keys of single people, made anew from SQL: after a login joined a session to somebody, after an erasure.

Arrives: user ids. Leaves: `recent:` and `seen:` of their persons as SQL has them, nothing under the ids that are
sessions of somebody or were forgotten. `graphstore.hot` adds to these keys; here they are replaced.
"""

from collections.abc import Iterable

from redis import Redis
from sqlalchemy import Engine, select

from graphstore import hot, queries
from graphstore.session import read
from graphstore.tables import users
from graphstore.upserts import erased_of


def refresh_people(engine: Engine, redis: Redis, user_ids: Iterable[str], *, keep: int) -> None:
    """Make the hot keys of these ids right, whoever they are by now; `keep` items stay in `recent:`."""
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
    hot.forget(redis, [*gone, *persons])
    for user_id in sorted({persons.get(user_id, user_id) for user_id in ids if user_id not in gone}):
        hot.replace(redis, user_id, lambda user_id=user_id: _item_times(engine, user_id), keep=keep)  # type: ignore[misc]


def _item_times(engine: Engine, user_id: str) -> dict[str, int]:
    with read(engine) as connection:
        return queries.item_times(connection, user_id)
