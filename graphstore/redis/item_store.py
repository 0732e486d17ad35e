"""Item store: the items themselves in Redis, as readers show them.

Arrives: items after their SQL commit. Leaves: `item:{item_id}`, the map of integer keys, `newest_items`, and word of
what has changed (`graphstore.redis.changes`). Next: `serving.cache.ItemReader` and every page read them.

Each write may be repeated. SQL can rebuild every key. This module does not import SQLAlchemy, because the web process
uses it.
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import cast

import msgspec
from redis import Redis
from redis.client import Pipeline

from graphstore.catalogue import Item
from graphstore.redis import changes
from graphstore.redis.corrupt import left_out, text_of

ITEM_IDS = "item_ids"
"""Hash: item_key → item_id, for lists that are packed as integers."""

NEWEST = "newest_items"
"""Sorted set: the item_ids with the highest item_key, by this key. Keys are given in the order in which items come."""

NEWEST_ITEMS = 100
"""Items kept in `newest_items`: what a slot that explores may show as new."""


def item_key(item_id: str) -> str:
    """JSON of `Item`."""
    return f"item:{item_id}"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Item).decode


def set_items(redis: Redis, items: Iterable[Item]) -> None:
    """Write `item:{item_id}`, the key map and `newest_items` of many items, and announce that they changed."""
    written = list(items)
    pipeline = redis.pipeline(transaction=False)
    for item in written:
        pipeline.set(item_key(item.item_id), _encode(item))
        pipeline.hset(ITEM_IDS, str(item.item_key), item.item_id)
    _name_newest(pipeline, written)
    changes.announce(pipeline, [item.item_key for item in written])
    pipeline.execute()


def add_items(redis: Redis, items: Sequence[Item]) -> None:
    """Write the items that Redis does not hold, as `set_items`. The others may be newer there than these."""
    pipeline = redis.pipeline(transaction=False)
    for item in items:
        pipeline.hset(ITEM_IDS, str(item.item_key), item.item_id)
        pipeline.set(item_key(item.item_id), _encode(item), nx=True)
    answers = pipeline.execute()[1::2]
    added = [item for item, answer in zip(items, answers, strict=True) if answer]
    pipeline = redis.pipeline(transaction=False)
    _name_newest(pipeline, items)
    changes.announce(pipeline, [item.item_key for item in added])
    pipeline.execute()


def _name_newest(pipeline: Pipeline, items: Sequence[Item]) -> None:
    newest = heapq.nlargest(NEWEST_ITEMS, items, key=lambda item: item.item_key)
    if newest:
        pipeline.zadd(NEWEST, {item.item_id: item.item_key for item in newest})
        pipeline.zremrangebyrank(NEWEST, 0, -NEWEST_ITEMS - 1)


def newest_items(redis: Redis) -> list[Item]:
    """Return at most `NEWEST_ITEMS` items, the newest first. They may not be available."""
    names = cast("list[bytes]", redis.zrevrange(NEWEST, 0, -1))
    ids = [item_id for raw in names if (item_id := text_of(NEWEST, raw)) is not None]
    return [item for item in get_items(redis, ids) if item is not None]


def newest_key(redis: Redis) -> int:
    """Return the highest item key, -1 without items."""
    rows = cast("list[tuple[bytes, float]]", redis.zrevrange(NEWEST, 0, 0, withscores=True))
    return int(rows[0][1]) if rows else -1


def get_items(redis: Redis, item_ids: Sequence[str]) -> list[Item | None]:
    """Return the items in the given order, None for an item that Redis does not have."""
    if not item_ids:
        return []
    rows = cast("list[bytes | None]", redis.mget([item_key(item_id) for item_id in item_ids]))
    return [_item(item_id, raw) for item_id, raw in zip(item_ids, rows, strict=True)]


def get_items_by_key(redis: Redis, item_keys: Sequence[int]) -> list[Item | None]:
    """As `get_items`, by integer key, for packed lists."""
    if not item_keys:
        return []
    rows = cast("list[bytes | None]", redis.hmget(ITEM_IDS, [str(key) for key in item_keys]))
    names = [None if raw is None else text_of(ITEM_IDS, raw) for raw in rows]
    found = iter(get_items(redis, [name for name in names if name is not None]))
    return [None if name is None else next(found) for name in names]


def _item(item_id: str, raw: bytes | None) -> Item | None:
    if raw is None:
        return None
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        left_out("item", item_key(item_id), error)
        return None
