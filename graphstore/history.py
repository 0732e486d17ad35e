"""The SQL log read back as the rows that made it, in bounded memory.

Arrives: an engine and what to read of it. Leaves: rows as `graphstore.ingest` and its neighbours take them. Next:
`stream.replay` makes events of them.

Read in pages by key, each a short transaction of its own, so that no writer ever waits for a replay. What is written
meanwhile may come or not; everything that stood there when the reading began does. Events that compaction or an
erasure has removed are gone: what they left in `edges` is no event and is not read.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, Select, func, or_, select, text, tuple_

from graphstore.identities import IdentityRow
from graphstore.ingest import InteractionRow
from graphstore.session import read
from graphstore.state import get_states
from graphstore.tables import COMPACTION_HORIZON, edges, identities, impressions, interactions, items, users
from graphstore.upserts import ImpressionRow, ItemRow, UserRow

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


@dataclass(frozen=True)
class Selection:
    """Which part of the log: event times in [since, before) (epoch ms), one user with their sessions; None: all.

    Times bound interactions and impressions. Of a user, the catalogue holds the items that they touched.
    """

    since: int | None = None
    before: int | None = None
    user_id: str | None = None


def item_rows(engine: Engine, selection: Selection, *, page_rows: int = PAGE_ROWS) -> Iterator[ItemRow]:
    """What the catalogue says of its items, those that left the shop too; not of items that only events named."""
    columns = [items.c[name] for name in ItemRow._fields]
    query = select(items.c.item_key, *columns).where(*_items_told(selection))
    for row in _pages(engine, query, (items.c.item_key,), page_rows):
        yield ItemRow._make(row[1:])._replace(categories=json.loads(row.categories), available=bool(row.available))


def user_rows(engine: Engine, selection: Selection, *, page_rows: int = PAGE_ROWS) -> Iterator[UserRow]:
    """What the shop said of its users; none at all where it took its word back."""
    query = select(users.c.user_key, users.c.user_id, users.c.attributes, users.c.updated_at)
    for row in _pages(engine, query.where(*_users_told(selection)), (users.c.user_key,), page_rows):
        yield UserRow(row.user_id, json.loads(row.attributes), row.updated_at)


def identity_rows(engine: Engine, selection: Selection, *, page_rows: int = PAGE_ROWS) -> Iterator[IdentityRow]:
    """The logins that hold."""
    query = select(identities.c.anonymous_id, identities.c.user_id, identities.c.event_time)
    for row in _pages(engine, query.where(*_logins(selection)), (identities.c.anonymous_id,), page_rows):
        yield IdentityRow._make(row)


def interaction_rows(engine: Engine, selection: Selection, *, page_rows: int = PAGE_ROWS) -> Iterator[InteractionRow]:
    """The interactions in the order in which they came in."""
    query = (
        select(interactions.c.interaction_key, *_INTERACTION)
        .join_from(interactions, users, users.c.user_key == interactions.c.user_key)
        .join(items, items.c.item_key == interactions.c.item_key)
        .where(*_events(selection))
    )
    for row in _pages(engine, query, (interactions.c.interaction_key,), page_rows):
        yield InteractionRow._make(row[1:])


def impression_rows(engine: Engine, selection: Selection, *, page_rows: int = PAGE_ROWS) -> Iterator[ImpressionRow]:
    """The items of served lists in order of time, the items of one list one after the other."""
    query = select(*_IMPRESSION_KEY, *_IMPRESSION).where(*_served(selection))
    for row in _pages(engine, query, _IMPRESSION_KEY, page_rows):
        yield ImpressionRow._make(row[len(_IMPRESSION_KEY) :])


def count_rows(engine: Engine, selection: Selection) -> int:
    """How many rows there are to read, for whoever shows how far it is."""
    tables = (
        (items, _items_told(selection)),
        (users, _users_told(selection)),
        (identities, _logins(selection)),
        (interactions, _events(selection)),
        (impressions, _served(selection)),
    )
    total = 0
    for table, conditions in tables:
        with read(engine) as connection:
            total += connection.scalar(select(func.count()).select_from(table).where(*conditions)) or 0
    return total


def compaction_horizon(engine: Engine) -> int:
    """Epoch ms before which interactions were thinned out; 0: the log is whole."""
    with read(engine) as connection:
        return get_states(connection).get(COMPACTION_HORIZON, 0)


def same_database(one: Engine, other: Engine) -> bool:
    """Whether both reach the same data, by whatever name."""
    if one.dialect.name != other.dialect.name:
        return False
    if one.dialect.name == "sqlite":
        paths = [Path(engine.url.database or "") for engine in (one, other)]
        return paths[0].resolve() == paths[1].resolve() or (
            all(path.exists() for path in paths) and paths[0].samefile(paths[1])
        )
    return _identity(one) == _identity(other)


def _identity(engine: Engine) -> tuple[Any, ...]:
    """What no two PostgreSQL databases share: the instant their server started, the process, the database's number."""
    query = text("SELECT pg_postmaster_start_time(), oid, datname FROM pg_database WHERE datname = current_database()")
    with read(engine) as connection:
        return tuple(connection.execute(query).one())


def _pages(engine: Engine, query: Select[Any], key: Sequence[ColumnElement[Any]], page_rows: int) -> Iterator[Row[Any]]:
    """All rows of `query` by `key`, which its first columns hold, up to what is the greatest first one now."""
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
        # The first column alone, too: it is what an index finds its place by.
        page = _page(engine, query.where(position > tuple_(*behind), key[0] >= behind[0]))


def _page(engine: Engine, query: Select[Any]) -> Sequence[Row[Any]]:
    with read(engine) as connection:
        return connection.execute(query).all()


def _members(user_id: str, column: ColumnElement[Any]) -> Select[Any]:
    """`column` of the user's row and of those of their sessions."""
    key = select(users.c.user_key).where(users.c.user_id == user_id).scalar_subquery()
    return select(column).where(or_(users.c.user_id == user_id, users.c.person_key == key))


def _period(time: ColumnElement[int], selection: Selection) -> Iterator[ColumnElement[bool]]:
    if selection.since is not None:
        yield time >= selection.since
    if selection.before is not None:
        yield time < selection.before


def _items_told(selection: Selection) -> Iterator[ColumnElement[bool]]:
    yield items.c.updated_at != 0
    if selection.user_id is not None:
        keys = _members(selection.user_id, users.c.user_key)
        yield items.c.item_key.in_(select(edges.c.item_key).where(edges.c.user_key.in_(keys)))


def _users_told(selection: Selection) -> Iterator[ColumnElement[bool]]:
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


def _served(selection: Selection) -> Iterator[ColumnElement[bool]]:
    yield from _period(impressions.c.event_time, selection)
    if selection.user_id is not None:
        ids = _members(selection.user_id, users.c.user_id)
        yield or_(impressions.c.user_id == selection.user_id, impressions.c.user_id.in_(ids))
