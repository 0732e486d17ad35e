"""Single numbers about the store itself, in the table `store_state`.

Arrives: a name from `graphstore.tables`. Leaves: its value, or 0 when it was never set.
"""

from sqlalchemy import Connection, select

from graphstore.batch import execute_many
from graphstore.tables import PEOPLE_GENERATION, store_state

_SET = """
INSERT INTO store_state (name, value) VALUES ({values})
ON CONFLICT (name) DO UPDATE SET value = {greatest}(store_state.value, excluded.value)
"""
_REPLACE = """
INSERT INTO store_state (name, value) VALUES ({values}) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_RAISE = """
INSERT INTO store_state (name, value) VALUES ({values})
ON CONFLICT (name) DO UPDATE SET value = store_state.value + excluded.value
"""


def get_states(connection: Connection) -> dict[str, int]:
    """Return every number by name. A name that was never set is missing."""
    return {row.name: row.value for row in connection.execute(select(store_state))}


def people_generation(connection: Connection) -> int:
    """Return the number of identity changes, see `tables.PEOPLE_GENERATION`."""
    return get_states(connection).get(PEOPLE_GENERATION, 0)


def raise_to(connection: Connection, name: str, value: int) -> None:
    """Set a number, unless the stored one is higher."""
    execute_many(connection, _SET, [(name, value)])


def set_state(connection: Connection, name: str, value: int) -> None:
    """Set a number."""
    execute_many(connection, _REPLACE, [(name, value)])


def people_changed(connection: Connection) -> None:
    """Count one change of identities: a login or an erasure."""
    execute_many(connection, _RAISE, [(PEOPLE_GENERATION, 1)])
