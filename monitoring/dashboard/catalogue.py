"""Catalogue: copies the items into Redis, where the dashboard searches them.

Arrives: `items`. Leaves: a copy of `serving.dashboard.catalogue`, newest items first, written again only after the
catalogue changed. Next: the web process searches it.
"""

from collections.abc import Iterator

from redis import Redis
from sqlalchemy import Connection, Row, case, func, select

from graphstore.tables import for_sale, items
from serving.dashboard.catalogue import MAX_ITEMS, Entry, current, write_catalogue

PAGE_ITEMS = 5_000

Version = tuple[int, int, int]
"""What tells that the catalogue has changed: the largest key, a sum over the times of all entries, how many items are
available."""

CHECKSUM_MODULUS = 1_000_003
"""A sum of whole times would overflow in a shop of some million items."""


def read_version(connection: Connection) -> Version:
    """Return the version of the catalogue in SQL."""
    table = items.c
    available = func.sum(case((table.available, 1), else_=0))
    query = select(func.max(table.item_key), func.sum(table.updated_at % CHECKSUM_MODULUS), available)
    return tuple(int(value or 0) for value in connection.execute(query).one())  # type: ignore[return-value]


def copy_catalogue(connection: Connection, redis: Redis, known: Version | None, *, now: int) -> Version:
    """Write a copy if the catalogue differs from the version `known`, or Redis has none. Return the version.

    `now` is epoch ms. Raises `redis.RedisError`.
    """
    version = read_version(connection)
    if version == known and current(redis) is not None:
        return version
    total = connection.scalar(select(func.count()).select_from(items)) or 0
    write_catalogue(redis, _entries(connection), total=int(total), now=now)
    return version


def _entries(connection: Connection) -> Iterator[Entry]:
    """Yield the newest items, page by page, so that a large catalogue is never in memory."""
    columns = (items.c.item_key, items.c.item_id, items.c.title, items.c.price, for_sale.label("for_sale"))
    below, left = None, MAX_ITEMS
    while left > 0:
        query = select(*columns).order_by(items.c.item_key.desc()).limit(min(PAGE_ITEMS, left))
        page: list[Row[tuple[int, str, str, float | None, bool]]] = list(
            connection.execute(query if below is None else query.where(items.c.item_key < below))
        )
        for row in page:
            yield Entry(row.item_id, row.title, row.price, bool(row.for_sale))
        if len(page) < PAGE_ITEMS:
            return
        below, left = page[-1].item_key, left - len(page)
