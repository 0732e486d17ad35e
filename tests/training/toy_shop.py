"""A shop in SQL whose right answer is known: every shopper buys the same few items of their half again and again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, Engine, func, insert, select

from graphstore.config import GraphstoreConfig
from graphstore.session import open_engine, write
from graphstore.tables import interactions, items, users
from tests.databases import migrated_sqlite

DAY_MS = 86_400_000
NUM_USERS = 40
NUM_ITEMS = 24
OPENING = 1_700_000_000_000


def favourites(user: int) -> list[int]:
    """The four items of a shopper, all even or all odd, by their place 0 … 23."""
    own = np.arange(user % 2, NUM_ITEMS, 2)
    return sorted(np.random.default_rng(user).choice(own, 4, replace=False).tolist())


def open_shop(connection: Connection, *, days: int) -> None:
    """Shoppers, items, and the purchases of the first days."""
    connection.execute(insert(users), [{"user_key": u + 1, "user_id": f"u{u}"} for u in range(NUM_USERS)])
    rows = [
        {"item_key": i + 1, "item_id": f"i{i}", "title": f"thing {'even' if i % 2 == 0 else 'odd'}", "updated_at": 1}
        for i in range(NUM_ITEMS)
    ]
    connection.execute(insert(items), rows)
    trade(connection, first_day=0, days=days)


def trade(connection: Connection, *, first_day: int, days: int) -> int:
    """Purchases of some days: each shopper takes two of their favourites a day; how many."""
    events = []
    for day in range(first_day, first_day + days):
        for user in range(NUM_USERS):
            rng = np.random.default_rng([day, user])
            time = OPENING + day * DAY_MS + user * 60_000
            events.extend(
                {
                    "event_id": f"{day}-{user}-{item}",
                    "event_type": 3,
                    "user_key": user + 1,
                    "item_key": item + 1,
                    "event_time": time,
                    "ingest_time": time,
                }
                for item in rng.choice(favourites(user), 2, replace=False).tolist()
            )
    connection.execute(insert(interactions), events)
    return len(events)


def closing_time(connection: Connection) -> int:
    """Epoch ms just after the newest purchase."""
    return int(connection.scalar(select(func.max(interactions.c.event_time))) or 0) + 1


@contextmanager
def shop_on_disk(state_dir: Path, *, days: int) -> Iterator[tuple[GraphstoreConfig, Engine, int]]:
    """A shop after its first days, in the SQLite file of a state directory: settings, engine and closing time."""
    state_dir.mkdir(exist_ok=True)
    graph = GraphstoreConfig(state_dir=state_dir)
    migrated_sqlite(state_dir / "graph.db")
    engine = open_engine(graph.sqlalchemy_url)
    with write(engine) as connection:
        open_shop(connection, days=days)
        now = closing_time(connection)
    try:
        yield graph, engine, now
    finally:
        engine.dispose()
