"""The keys of a batch: of each user and each item that its events name. An unknown id gets one.

Arrives: ids. Leaves: rows of `users` and `items`, and their keys. Next: `graphstore.ingest` stores events with them.

On PostgreSQL new items are stored in a short transaction of their own, before the batch's. All writers meet the same
new items, and whoever stored one in the batch's transaction made all others wait until that had ended: with two workers
on a young shop a fifth of the time. So a batch that is rolled back may leave an item without events, as an entry of the
catalogue is one. New users stay in the batch's transaction: a user's events come through one partition, so no other
worker meets them.
"""

import json
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection

from graphstore.lookups import rows_with

_INSERT = {
    "sqlite": """
INSERT INTO {table} ({id}) SELECT value FROM json_each(?) WHERE true ON CONFLICT ({id}) DO NOTHING RETURNING {id}, {key}
""",
    "postgresql": """
INSERT INTO {table} ({id}) SELECT value FROM json_array_elements_text(%s::json) AS given (value)
ON CONFLICT ({id}) DO NOTHING RETURNING {id}, {key}
""",
}


class UserKeys(NamedTuple):
    """The users of a batch by id."""

    keys: dict[str, int]
    persons: dict[str, int]
    """The key of the person of each anonymous session."""
    new: frozenset[str]


def user_keys(connection: Connection, ids: Collection[str]) -> UserKeys:
    """Return the keys of users; unknown ones are stored, sorted, so that two writers lock rows in the same order."""
    found = _known_users(connection, ids)
    unknown = sorted(set(ids).difference(found))
    new = _insert(connection, "users", "user_id", "user_key", unknown)
    met = [user for user in unknown if user not in new]  # stored by another writer meanwhile
    found |= _known_users(connection, met)
    keys = {user: key for user, (key, _) in found.items()} | new
    persons = {user: person for user, (_, person) in found.items() if person is not None}
    return UserKeys(keys, persons, frozenset(new))


def _known_users(connection: Connection, ids: Collection[str]) -> dict[str, tuple[int, int | None]]:
    rows = rows_with(connection, "user_id, user_key, person_key", "users", "user_id", ids)
    return {row[0]: (row[1], row[2]) for row in rows}


def item_keys(connection: Connection, ids: Collection[str]) -> dict[str, int]:
    """Return the keys of items; unknown ones are stored."""
    found = _known_items(connection, ids)
    unknown = sorted(set(ids).difference(found))
    if not unknown:
        return found
    if connection.dialect.name == "sqlite":
        return found | _insert(connection, "items", "item_id", "item_key", unknown)
    with connection.engine.begin() as own:
        _insert(own, "items", "item_id", "item_key", unknown)
    return found | _known_items(connection, unknown)


def _known_items(connection: Connection, ids: Collection[str]) -> dict[str, int]:
    return {row[0]: row[1] for row in rows_with(connection, "item_id, item_key", "items", "item_id", ids)}


def _insert(connection: Connection, table: str, id_column: str, key_column: str, ids: list[str]) -> dict[str, int]:
    if not ids:
        return {}
    statement = _INSERT[connection.dialect.name].format(table=table, id=id_column, key=key_column)
    rows = connection.exec_driver_sql(statement, (json.dumps(ids),)).fetchall()
    return {row[0]: row[1] for row in rows}
