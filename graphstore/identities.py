"""Identities: a login joins an anonymous session, with all its events before and after, to a person.

Arrives: rows of the topic `identities`. Leaves: rows of `identities`, and `users.person_key` of the changed sessions.
Next: `graphstore.queries` and `graphstore.snapshots.snapshot` read the sessions of a person together.

The earliest login of a session counts (ties by user_id). Each id therefore has at most one parent, and the order of
arrival does not matter. The person of an id is the end of its chain of parents. When ids log in as each other in a
circle, the smallest id is the person. Interactions and edges keep the id that the shop sent. Rejected: to rewrite
their user keys, because an earlier login that arrives later could not undo it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from graphstore.batch import execute_many, lock_writers
from graphstore.dirty import mark_logins
from graphstore.state import people_changed, people_generation
from graphstore.tables import identities, stale_people, users
from graphstore.upserts import erased_of


class IdentityRow(NamedTuple):
    """A session's login, `event_time` in epoch ms."""

    anonymous_id: str
    user_id: str
    event_time: int


@dataclass(frozen=True)
class Merged:
    """The users whose lists and hot keys must be rebuilt after a batch of logins."""

    persons: set[str]
    sessions: set[str]
    """Ids that are sessions of one of the persons."""
    stale: set[str]
    """Users of this batch and of earlier batches without a `settle`, for example after a killed worker."""
    generation: int


_MARK = """
INSERT INTO stale_people (user_id, generation) VALUES ({values})
ON CONFLICT (user_id) DO UPDATE SET generation = excluded.generation
"""

_UPSERT = """
INSERT INTO identities (anonymous_id, user_id, event_time) VALUES ({values})
ON CONFLICT (anonymous_id) DO UPDATE SET user_id = excluded.user_id, event_time = excluded.event_time
WHERE (excluded.event_time, excluded.user_id) < (identities.event_time, identities.user_id)
"""


def ingest_identities(connection: Connection, rows: Sequence[IdentityRow]) -> Merged:
    """Store logins; the caller owns the transaction. A repeated login returns its persons again and changes nothing.

    A login from or to a forgotten user is dropped.
    """
    lock_writers(connection, shared=False)  # an event stored at the same time could miss the login
    gone = erased_of(connection, [user for row in rows for user in row[:2]])
    rows = [row for row in sorted(rows) if row.anonymous_id != row.user_id and gone.isdisjoint(row[:2])]
    if not rows:
        return _merged(connection, set(), set())
    ids = {user for row in rows for user in row[:2]}
    before = set(_persons_of(connection, ids).values())
    execute_many(connection, _UPSERT, rows)
    moved = _descendants(connection, {row.anonymous_id for row in rows})
    persons = resolve(_ancestors(connection, moved), moved)
    concerned = before | set(persons.values())
    if _assign(connection, persons):
        people_changed(connection)
        generation = people_generation(connection)
        execute_many(connection, _MARK, [(name, generation) for name in sorted(concerned | moved)])
        mark_logins(connection, moved, concerned)
    return _merged(connection, concerned, moved - set(persons.values()))


def settle(connection: Connection, merged: Merged) -> None:
    """Delete the `stale` marks after Redis was updated. Marks of a later login stay."""
    connection.execute(delete(stale_people).where(stale_people.c.generation <= merged.generation))


def _merged(connection: Connection, persons: set[str], sessions: set[str]) -> Merged:
    stale = set(connection.scalars(select(stale_people.c.user_id)))
    return Merged(persons, sessions, stale, people_generation(connection))


def resolve(parents: Mapping[str, str], ids: Iterable[str] | None = None) -> dict[str, str]:
    """Return the person of each id (default: all ids with a parent): the end of its chain, or the smallest of a circle.

    An id without a parent is its own person.
    """
    found: dict[str, str] = {}
    asked = list(parents if ids is None else ids)
    for start in asked:
        path: list[str] = []
        current = start
        while current not in found and current not in path and current in parents:
            path.append(current)
            current = parents[current]
        circle = path[path.index(current) :] if current in path else []
        person = min(circle) if circle else found.get(current, current)
        found |= dict.fromkeys([*path, start], person)
    return {user: found[user] for user in asked}


def _persons_of(connection: Connection, ids: set[str]) -> dict[str, str]:
    person = users.alias()
    query = (
        select(users.c.user_id, person.c.user_id)
        .join(person, person.c.user_key == users.c.person_key, isouter=True)
        .where(users.c.user_id.in_(ids))
    )
    return {row[0]: row[1] or row[0] for row in connection.execute(query)}


def _descendants(connection: Connection, ids: set[str]) -> set[str]:
    """Return the ids and every session whose chain contains one of them."""
    found, edge = set(ids), set(ids)
    while edge:
        edge = set(connection.scalars(select(identities.c.anonymous_id).where(identities.c.user_id.in_(edge)))) - found
        found |= edge
    return found


def _ancestors(connection: Connection, ids: set[str]) -> dict[str, str]:
    """Return the parents of the ids, the parents of these, and so on."""
    parents: dict[str, str] = {}
    edge = set(ids)
    while edge:
        query = select(identities.c.anonymous_id, identities.c.user_id).where(identities.c.anonymous_id.in_(edge))
        rows = connection.execute(query).all()
        parents |= {row.anonymous_id: row.user_id for row in rows}
        edge = {row.user_id for row in rows} - parents.keys()
    return parents


def _assign(connection: Connection, persons: Mapping[str, str]) -> bool:
    """Write the person of each session; return whether a row changed. A new user gets a row."""
    names = sorted(persons.keys() | set(persons.values()))
    known = {row.user_id: row for row in connection.execute(select(users).where(users.c.user_id.in_(names)))}
    new = [{"user_id": name} for name in names if name not in known]
    if new:
        connection.execute(insert(users), new)
    rows = connection.execute(select(users.c.user_id, users.c.user_key).where(users.c.user_id.in_(names)))
    keys = {row.user_id: row.user_key for row in rows}
    wanted = {user: None if person == user else keys[person] for user, person in persons.items()}
    changed = [
        {"key": keys[user], "person": person}
        for user, person in sorted(wanted.items())
        if user not in known or known[user].person_key != person
    ]
    if changed:
        statement = update(users).where(users.c.user_key == bindparam("key")).values(person_key=bindparam("person"))
        connection.execute(statement, changed)
    return bool(changed)
