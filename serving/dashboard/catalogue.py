"""Catalogue: a compact copy of all items in Redis that the dashboard searches.

Arrives: entries that the monitor reads from SQL. Leaves: `dash:catalogue:{copy}:{number}`, chunks of entries, and
`dash:catalogue`, which names the current copy. Next: `serving.web` shows what `search` finds.

A copy is written whole and then named, so a reader never sees half of one; the one before it expires. Rejected: a scan
over the keys `item:{item}`, because it walks over every other key of Redis, too.
"""

import heapq
import secrets
from collections.abc import Iterable
from itertools import islice
from typing import cast

import msgspec
from redis import Redis

from graphstore.redis.corrupt import left_out

POINTER = "dash:catalogue"
"""JSON of `Copy`."""

CHUNK_ITEMS = 2_000
"""Entries in one chunk: about 150 kB, decoded in a millisecond."""

MAX_ITEMS = 200_000
"""Entries of a copy: the newest items of a larger shop. The whole copy then takes about 16 MB of Redis."""

OLD_COPY_SECONDS = 60
"""A reader that has begun with the copy before may finish it."""

MAX_WORDS = 8
"""Words of a query; further words are not looked at."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What the search knows of an item."""

    item_id: str
    title: str
    price: float | None
    available: bool


class Copy(msgspec.Struct, frozen=True):
    """The current copy. `made_at` is epoch ms. `total` counts the items of the shop, `items` those of the copy."""

    name: str
    made_at: int
    chunks: int
    items: int
    total: int


class Found(msgspec.Struct, frozen=True):
    """What a search found: the best entries, and how many there are in all."""

    copy: Copy
    matches: int
    entries: list[Entry]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Entry]).decode
_decode_copy = msgspec.json.Decoder(Copy).decode


def chunk_key(copy: str, number: int) -> str:
    """JSON: a list of entries."""
    return f"{POINTER}:{copy}:{number}"


def write_catalogue(redis: Redis, entries: Iterable[Entry], *, total: int, now: int) -> Copy:
    """Write a copy of at most `MAX_ITEMS` entries, and let readers follow. Return it.

    `total` is the number of items in the shop, `now` epoch ms. Raises `redis.RedisError`; readers then keep the copy
    before.
    """
    name, chunks, items = secrets.token_hex(4), 0, 0
    rest = islice(entries, MAX_ITEMS)
    while chunk := list(islice(rest, CHUNK_ITEMS)):
        # The first life is short: a copy that is never named must not stay.
        redis.set(chunk_key(name, chunks), _encode(chunk), ex=OLD_COPY_SECONDS * 5)
        chunks, items = chunks + 1, items + len(chunk)
    made = Copy(name, now, chunks, items, total)
    before = current(redis)
    pipeline = redis.pipeline(transaction=True)
    for number in range(chunks):
        pipeline.persist(chunk_key(name, number))
    pipeline.set(POINTER, _encode(made))
    for number in range(before.chunks if before else 0):
        pipeline.expire(chunk_key(before.name if before else "", number), OLD_COPY_SECONDS)
    pipeline.execute()
    return made


def current(redis: Redis) -> Copy | None:
    """Return the copy that readers search; None before the first one. Raises `redis.RedisError`."""
    raw = cast("bytes | None", redis.get(POINTER))
    if raw is None:
        return None
    try:
        return _decode_copy(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        left_out("catalogue", POINTER, error)
        return None


def search(redis: Redis, query: str, *, limit: int, available: bool | None = None) -> Found | None:
    """Return the entries whose id and title hold every word of `query`, in any case and order; an empty query: all.

    The item with this id comes first, then titles that begin with the query, then the others by title. `available`
    restricts to items that can be bought, or to those that cannot. None: there is no copy yet. One chunk is in memory
    at a time. Raises `redis.RedisError`.
    """
    copy = current(redis)
    if copy is None:
        return None
    words = query.casefold().split()[:MAX_WORDS]
    whole = " ".join(words)
    matches = 0
    best: list[tuple[int, str, str, Entry]] = []
    for number in range(copy.chunks):
        for entry in _chunk(redis, copy.name, number):
            if available is not None and entry.available != available:
                continue
            title, item_id = entry.title.casefold(), entry.item_id.casefold()
            if not all(word in title or word in item_id for word in words):
                continue
            matches += 1
            rank = 0 if item_id == whole else 1 if title.startswith(whole) else 2
            best.append((rank, title, entry.item_id, entry))
        best = heapq.nsmallest(limit, best, key=lambda one: one[:3])
    return Found(copy, matches, [one[3] for one in best])


def _chunk(redis: Redis, copy: str, number: int) -> list[Entry]:
    """Return the entries of a chunk; none when the copy has just expired, or somebody else wrote to the key."""
    raw = cast("bytes | None", redis.get(chunk_key(copy, number)))
    if raw is None:
        return []
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        left_out("catalogue", chunk_key(copy, number), error)
        return []
