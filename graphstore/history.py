"""History: reads the SQL log back as the rows that it was written from, in bounded memory.

Arrives: an engine and a `Selection`. Leaves: rows in the form that `graphstore.ingest`, `graphstore.upserts` and
`graphstore.identities` take. Next: `stream.replay` makes events of them.

Rows are read in pages by key. Each page is a short transaction, so no writer waits for a replay. All rows that exist
when reading begins are returned; rows written during the reading may or may not be. Events that compaction or an
erasure removed are not returned: `edges` still counts them but does not hold the events.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, Select, Table, func, or_, select, text, tuple_

from graphstore.identities import IdentityRow
from graphstore.ingest import InteractionRow
from graphstore.item_fields import ItemRow, changes, of_entry
from graphstore.session import read
from graphstore.state import get_states
from graphstore.tables import (
    COMPACTION_HORIZON,
    edges,
    identities,
    impressions,
    interactions,
    items,
    seen_items,
    users,
)
from graphstore.upserts import ImpressionRow, SeenRow, UserRow, item_row

PAGE_ROWS = 5_000

_INTERACTION = (
    interactions.c.event_id,
    interactions.c.event_type,
    users.c.user_id,
    items.c.item_id,
    *(interactions.c[name] for name in InteractionRow._fields[4:]),
)
_IMPRESSION = [impressions.c[name] for name in ImpressionRow._fields]
_IMPRESSION_KEY = (impressions.c.event_time, impressions.c.request_id, impressions.c.position)
_SEEN = [seen_items.c[name] for name in SeenRow._fields]
_SEEN_KEY = (seen_items.c.event_time, seen_items.c.request_id, seen_items.c.position)


@dataclass(frozen=True)
class Selection:
    """A part of the log: event times in [since, before) (epoch ms), one user with their sessions; None means all.

    Times restrict interactions, impressions and what was seen. A user restricts the catalogue to the items that they
    touched.
    """

    since: int | None = None
    before: int | None = None
    user_id: str | None = None


def item_rows(
    engine: Engine, selection: Selection, *, changed: bool = False, page_rows: int = PAGE_ROWS
) -> Iterator[ItemRow]:
    """Read the catalogue, including deleted items, without items that only events name.

    With `changed` only those items of which a change wrote some fields after the newest whole entry.
    """
    columns = [items.c[name] for name in ItemRow._fields]
    query = select(items.c.item_key, *columns).where(*_catalogue_items(selection, changed=changed))
    for row in _pages(engine, query, (items.c.item_key,), page_rows):
        yield item_row(row[1:])


def user_rows(engine: Engine, selection: Selection, *, page_rows: int = PAGE_ROWS) -> Iterator[UserRow]:
    """Read the users' attributes; empty attributes mean that the shop deleted them."""
    query = select(users.c.user_key, users.c.user_id, users.c.attributes, users.c.updated_at)
    for row in _pages(engine, query.where(*_described_users(selection)), (users.c.user_key,), page_rows):
        yield UserRow(row.user_id, json.loads(row.attributes), row.updated_at)


def identity_rows(engine: Engine, selection: Selection, *, page_rows: int = PAGE_ROWS) -> Iterator[IdentityRow]:
    """Read the login that counts of each session."""
    query = select(identities.c.anonymous_id, identities.c.user_id, identities.c.event_time)
    for row in _pages(engine, query.where(*_logins(selection)), (identities.c.anonymous_id,), page_rows):
        yield IdentityRow._make(row)


def interaction_rows(engine: Engine, selection: Selection, *, page_rows: int = PAGE_ROWS) -> Iterator[InteractionRow]:
    """Read the interactions in the order of ingestion."""
    query = (
        select(interactions.c.interaction_key, *_INTERACTION)
        .join_from(interactions, users, users.c.user_key == interactions.c.user_key)
        .join(items, items.c.item_key == interactions.c.item_key)
        .where(*_events(selection))
    )
    for row in _pages(engine, query, (interactions.c.interaction_key,), page_rows):
        yield InteractionRow._make(row[1:])


def impression_rows(engine: Engine, selection: Selection, *, page_rows: int = PAGE_ROWS) -> Iterator[ImpressionRow]:
    """Read the items of served lists in order of time, list by list."""
    query = select(*_IMPRESSION_KEY, *_IMPRESSION).where(*_of_shopper(impressions, selection))
    for row in _pages(engine, query, _IMPRESSION_KEY, page_rows):
        yield ImpressionRow._make(row[len(_IMPRESSION_KEY) :])


def seen_rows(engine: Engine, selection: Selection, *, page_rows: int = PAGE_ROWS) -> Iterator[SeenRow]:
    """Read the seen positions of served lists in order of time, list by list."""
    query = select(*_SEEN_KEY, *_SEEN).where(*_of_shopper(seen_items, selection))
    for row in _pages(engine, query, _SEEN_KEY, page_rows):
        yield SeenRow._make(row[len(_SEEN_KEY) :])


def count_rows(engine: Engine, selection: Selection) -> int:
    """Count the rows to read, for a progress bar."""
    tables = (
        (users, _described_users(selection)),
        (identities, _logins(selection)),
        (interactions, _events(selection)),
        (impressions, _of_shopper(impressions, selection)),
        (seen_items, _of_shopper(seen_items, selection)),
    )
    total = _count_catalogue(engine, selection)
    for table, conditions in tables:
        with read(engine) as connection:
            total += connection.scalar(select(func.count()).select_from(table).where(*conditions)) or 0
    return total


def _count_catalogue(engine: Engine, selection: Selection) -> int:
    """Count the entries, and the changes that came after them, by time."""
    whole = select(func.count()).where(*_catalogue_items(selection), items.c.field_times == "{}")
    with read(engine) as connection:
        total = connection.scalar(whole) or 0
    for row in item_rows(engine, selection, changed=True):
        total += (of_entry(row) is not None) + sum(1 for _ in changes(row))
    return total


def compaction_horizon(engine: Engine) -> int:
    """Return the time (epoch ms) before which interactions were compacted; 0: the log is complete."""
    with read(engine) as connection:
        return get_states(connection).get(COMPACTION_HORIZON, 0)


def same_database(one: Engine, other: Engine) -> bool:
    """Return whether both engines reach the same data, also under different names."""
    if one.dialect.name != other.dialect.name:
        return False
    if one.dialect.name == "sqlite":
        paths = [Path(engine.url.database or "") for engine in (one, other)]
        return paths[0].resolve() == paths[1].resolve() or (
            all(path.exists() for path in paths) and paths[0].samefile(paths[1])
        )
    return _identity(one) == _identity(other)


def _identity(engine: Engine) -> tuple[Any, ...]:
    """Return values that identify a PostgreSQL database: the server's start time, the database's number and name."""
    query = text("SELECT pg_postmaster_start_time(), oid, datname FROM pg_database WHERE datname = current_database()")
    with read(engine) as connection:
        return tuple(connection.execute(query).one())


def _pages(engine: Engine, query: Select[Any], key: Sequence[ColumnElement[Any]], page_rows: int) -> Iterator[Row[Any]]:
    """Read all rows of `query` in the order of `key` (its first columns), up to the greatest key at the start."""
    position = tuple_(*key)
    greatest = _page(engine, query.order_by(key[0].desc()).limit(1))
    if not greatest:
        return
    query = query.where(key[0] <= greatest[0][0]).order_by(*key).limit(page_rows)
    page = _page(engine, query)
    while page:
        yield from page
        if len(page) < page_rows:
            return
        behind = page[-1][: len(key)]
        # The condition on the first column alone lets the index find the start of the page.
        page = _page(engine, query.where(position > tuple_(*behind), key[0] >= behind[0]))


def _page(engine: Engine, query: Select[Any]) -> Sequence[Row[Any]]:
    with read(engine) as connection:
        return connection.execute(query).all()


def _members(user_id: str, column: ColumnElement[Any]) -> Select[Any]:
    """Select `column` of the user and of their sessions."""
    key = select(users.c.user_key).where(users.c.user_id == user_id).scalar_subquery()
    return select(column).where(or_(users.c.user_id == user_id, users.c.person_key == key))


def _period(time: ColumnElement[int], selection: Selection) -> Iterator[ColumnElement[bool]]:
    if selection.since is not None:
        yield time >= selection.since
    if selection.before is not None:
        yield time < selection.before


def _catalogue_items(selection: Selection, *, changed: bool = False) -> Iterator[ColumnElement[bool]]:
    yield items.c.updated_at != 0
    if changed:
        yield items.c.field_times != "{}"
    if selection.user_id is not None:
        keys = _members(selection.user_id, users.c.user_key)
        yield items.c.item_key.in_(select(edges.c.item_key).where(edges.c.user_key.in_(keys)))


def _described_users(selection: Selection) -> Iterator[ColumnElement[bool]]:
    yield users.c.updated_at != 0
    if selection.user_id is not None:
        yield users.c.user_key.in_(_members(selection.user_id, users.c.user_key))


def _logins(selection: Selection) -> Iterator[ColumnElement[bool]]:
    if selection.user_id is not None:
        yield identities.c.anonymous_id.in_(_members(selection.user_id, users.c.user_id))


def _events(selection: Selection) -> Iterator[ColumnElement[bool]]:
    yield from _period(interactions.c.event_time, selection)
    if selection.user_id is not None:
        yield interactions.c.user_key.in_(_members(selection.user_id, users.c.user_key))


def _of_shopper(table: Table, selection: Selection) -> Iterator[ColumnElement[bool]]:
    """The rows of `impressions` or `seen_items`, which name their shopper by the external id."""
    yield from _period(table.c.event_time, selection)
    if selection.user_id is not None:
        ids = _members(selection.user_id, users.c.user_id)
        yield or_(table.c.user_id == selection.user_id, table.c.user_id.in_(ids))
