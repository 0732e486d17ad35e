"""Rebuilds the items in Redis from SQL: `item:`, the key map `item_ids`, and `newest_items`.

Arrives: rows of `items`, page by page. Leaves: the same items in Redis and no others. Next: `graphstore.redis.rebuild`.

Items of the catalogue are always written. Items that only events name are written when there is a champion, because
its lists may contain them; otherwise the publisher writes them.

A worker may store a newer row while this module writes an older one. So each page is read again after the write, until
both are equal. Rows that change after that are written by the worker itself.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import WatchError
from sqlalchemy import ColumnElement, Engine, or_, select

from graphstore import queries
from graphstore.catalogue import Item
from graphstore.redis import item_store
from graphstore.session import read
from graphstore.tables import items, models

PAGE_ITEMS = 2000
SCAN_COUNT = 1000

_T = TypeVar("_T")


@dataclass
class ItemsRebuilt:
    """The number of written items, and of removed keys and fields."""

    items: int = 0
    removed: int = 0


def rebuild_items(engine: Engine, redis: Redis, *, alive: Callable[[], None]) -> ItemsRebuilt:
    """Make `item:` and `item_ids` equal to SQL. Calls `alive()` after each page, which may raise to stop."""
    done = ItemsRebuilt()
    redis.delete(item_store.NEWEST)  # the writes below fill it again
    last = 0
    while True:
        first = last
        with read(engine) as connection:
            query = select(items.c.item_key).where(items.c.item_key > first).order_by(items.c.item_key)
            keys = list(connection.scalars(query.limit(PAGE_ITEMS)))
        if not keys:
            break
        last = keys[-1]
        done.items += _write(engine, redis, first, last)
        alive()
    prefix = item_store.item_key("").encode()
    for names in _some(redis.scan_iter(match=prefix + b"*", count=SCAN_COUNT)):
        for item_id in _unknown(engine, items.c.item_id, [_id_of(name, prefix) for name in names]):
            known = items.c.item_id == item_id
            done.removed += remove_unknown(
                engine, redis, item_store.item_key(item_id), known, lambda pipe, key: pipe.delete(key)
            )
        alive()
    for fields in _some(redis.hscan_iter(item_store.ITEM_IDS, count=SCAN_COUNT)):
        for key in _unknown(
            engine, items.c.item_key, [int(field) for field, _ in fields if field.isdigit() and len(field) < 19]
        ):
            known = items.c.item_key == key
            done.removed += remove_unknown(engine, redis, item_store.ITEM_IDS, known, _field_remover(key))
        alive()
    return done


def _write(engine: Engine, redis: Redis, first: int, last: int) -> int:
    """Write the items with a key in (first, last]; return their number."""
    written: dict[str, Item] = {}
    found = _read(engine, first, last)
    while found != written:
        item_store.set_items(redis, [item for item_id, item in found.items() if written.get(item_id) != item])
        written, found = found, _read(engine, first, last)
    return len(written)


def _read(engine: Engine, first: int, last: int) -> dict[str, Item]:
    champion = select(models.c.model_version).where(models.c.status == "champion").exists()
    query = select(items.c.item_id).where(
        items.c.item_key > first, items.c.item_key <= last, or_(items.c.updated_at > 0, champion)
    )
    with read(engine) as connection:
        return {item.item_id: item for item in queries.items_by_id(connection, list(connection.scalars(query)))}


def _id_of(name: bytes, prefix: bytes) -> str | None:
    """Return the item id, or None for a key of another program."""
    try:
        return name.removeprefix(prefix).decode()
    except UnicodeDecodeError:
        return None


def _unknown(engine: Engine, column: ColumnElement[_T], values: Iterable[_T | None]) -> set[_T]:
    """Return the values that no item has in the column."""
    asked = {value for value in values if value is not None}
    with read(engine) as connection:
        return asked.difference(connection.scalars(select(column).where(column.in_(asked))))


def remove_unknown(
    engine: Engine, redis: Redis, key: str, known: ColumnElement[bool], remove: Callable[[Any, str], object]
) -> int:
    """Remove a key or field without an item in SQL, unless it is written meanwhile; return the number removed."""
    with redis.pipeline(transaction=True) as pipe:
        while True:
            pipe.watch(key)  # type: ignore[no-untyped-call]
            with read(engine) as connection:
                if connection.scalar(select(items.c.item_key).where(known)) is not None:
                    return 0
            pipe.multi()
            remove(pipe, key)
            try:
                return int(pipe.execute()[0])
            except WatchError:
                continue


def _field_remover(item_key: int) -> Callable[[Any, str], object]:
    return lambda pipe, name: pipe.hdel(name, str(item_key))


def _some(values: Iterator[_T]) -> Iterator[list[_T]]:
    while some := list(islice(values, SCAN_COUNT)):
        yield some
