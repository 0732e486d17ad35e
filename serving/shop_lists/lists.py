"""Lists: the form of the shop lists in Redis.

Arrives: item keys with scores and counts. Leaves: bytes (msgpack), and `ShopEntry` values for readers. Next:
`serving.shop_lists.reader`.

Each kind and window is one hash, so a new one replaces the old one whole (`write_hash`) and no old category stays.
Counts are exact integers, which the half precision of `serving.cache.pack` cannot hold. An entry takes about 12 bytes.
This module imports no SQL, because the web process uses it.
"""

import math
import secrets
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec
from redis import Redis

from graphstore.redis.corrupt import left_out

ALL = ""
"""The field of the list for the whole shop, beside those of the categories."""

TOGETHER = "together"
"""Hash: item_id → what is bought together with it."""

REPURCHASE = "repurchase"
"""Hash: category → days after which its items are bought again. Missing: they are not bought again."""

CATEGORIES = "categories"
"""Sorted set: category by the number of its items that can be bought."""

WRITTEN_AT_ONCE = 500
DRAFT_SECONDS = 600


class ShopEntry(NamedTuple):
    """An item in a shop list, best first.

    `score` is a logit (`serving.rules.candidate`). `number` is what an explanation may tell: purchases of best sellers,
    events of rising items, shoppers who bought both items.
    """

    item_key: int
    score: float
    number: int


def best_key(window: str) -> str:
    """Return the key of the best sellers of a window. Hash: category → list, `ALL` → the list of the shop."""
    return f"best:{window}"


def rising_key(window: str) -> str:
    """Return the key of the rising items of a window, as `best_key`."""
    return f"rising:{window}"


def vectors_key(model_version: str) -> str:
    """Return the key of a model's item vectors. Hash: item_key → float16 [dim], little endian."""
    return f"vectors:{model_version}"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[ShopEntry]).decode


def encode(entries: Sequence[ShopEntry]) -> bytes:
    """Return the list as bytes."""
    return _encode(entries)


def readable(key: str, raw: bytes | None) -> list[ShopEntry]:
    """Return the list in the bytes, an empty one without bytes. A malformed list counts as absent, and is logged."""
    if raw is None:
        return []
    try:
        entries = _decode(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        left_out("list", key, error)
        return []
    if not all(math.isfinite(entry.score) for entry in entries):
        left_out("list", key, "a score is not finite")
        return []
    return entries


def write_hash(redis: Redis, key: str, fields: Mapping[str, bytes | float]) -> None:
    """Replace the hash in one step: readers see the old content or the new content. Raises `redis.RedisError`.

    The new content grows beside the old one under a name of its own, which expires after a kill.
    """
    draft = f"{key}:draft:{secrets.token_hex(4)}"
    for some in _some(iter(fields.items())):
        pipeline = redis.pipeline(transaction=True)
        pipeline.hset(draft, mapping=dict(some))
        pipeline.expire(draft, DRAFT_SECONDS)
        pipeline.execute()
    pipeline = redis.pipeline(transaction=True)
    pipeline.unlink(key)  # a rename would delete it, and block Redis while it does
    if fields:
        pipeline.rename(draft, key)
        pipeline.persist(key)
    pipeline.execute()


def _some(fields: Iterator[tuple[str, bytes | float]]) -> Iterator[list[tuple[str, bytes | float]]]:
    while some := list(islice(fields, WRITTEN_AT_ONCE)):
        yield some
