"""Cache: writes and reads the lists in Redis.

Arrives: rows and scores from `serving.publisher` (whole models) and `serving.nearline` (single users).
Leaves: packed lists in Redis, and `PackedList` values for readers. Next: `serving.recommend`.

The pointer `recs:champion` is the version of the served model, and `recs:routing` says who gets another one. Both are
read together. The keys of a model's lists contain its version. The pointer is switched after all lists are written, so
no reader ever sees half a model. When a user has new events, a list
under `near:` is written. When a user has both lists, the one with the newer `as_of` is served.

A packed list is a header (format u8, as_of i64 epoch ms), then n item keys (i32), then n scores (f16), all little
endian. 100 items take 609 bytes, a quarter of the JSON form. This module imports neither SQL nor torch, because the web
process uses it.
"""

import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt
from redis import Redis

from graphstore.arrays import LARGEST_SCORE, Float32Array, IntArray
from graphstore.catalogue import Item
from graphstore.errors import UserError
from graphstore.redis import item_store
from graphstore.redis.changes import changed_since
from graphstore.redis.corrupt import left_out
from serving.routing import NO_SPLITS, ROUTING, Assignment, MalformedRouting, Routing, decode

FORMAT = 1
CHAMPION = "recs:champion"
WHOLE = "recs:whole"
"""Sorted set: the models with complete lists, by the time of their end, see `serving.switch`."""
RETIRING = "recs:retiring"
"""Exists while the publisher lets lists of other models expire, also after it was killed in the middle."""
FRESHNESS = "freshness"
"""List: the last measured delays (ms) from a user's event to the changed list, newest first."""

READ_TIMEOUT_SECONDS = 1.0
"""A reader waits at most this time for Redis, so that a page does not hang."""
POINTER_SECONDS = 0.5
"""A reader caches the pointer, the routing and the popular lists for this time."""
ITEM_SECONDS = 30.0
"""A reader caches titles and prices for this time, unless it hears of a change."""
CHANGE_SECONDS = 0.5
"""A reader of items asks this often which of them changed, so that price and stock count within a second."""

_HEADER = struct.Struct("<Bq")
_KEY = np.dtype("<i4")
_SCORE = np.dtype("<f2")
_ENTRY_BYTES = _KEY.itemsize + _SCORE.itemsize
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999, the last time that a datetime can hold
_SINGLE_KEYS = frozenset(key.removeprefix("recs:") for key in (CHAMPION, ROUTING, WHOLE, RETIRING))
_RESERVED_VERSIONS = _SINGLE_KEYS | {"popular"}


class MalformedList(UserError, ValueError):
    """The bytes are not a packed list in this format. The message contains the reason."""


def recs_key(model_version: str, user_id: str) -> str:
    """Return the key of a user's list from the publisher."""
    return f"recs:{model_version}:{user_id}"


def near_key(model_version: str, user_id: str) -> str:
    """Return the key of a user's list from near-line."""
    return f"near:{model_version}:{user_id}"


def popular_key(model_version: str) -> str:
    """Return the key of the list for users without history."""
    return f"recs:popular:{model_version}"


def similar_key(model_version: str, item_id: str) -> str:
    """Return the key of the list of items similar to an item."""
    return f"similar:{model_version}:{item_id}"


def check_version(model_version: str) -> str:
    """Return the version. Raises `ValueError` when it could be confused with another part of a key."""
    if not model_version or ":" in model_version or model_version in _RESERVED_VERSIONS:
        raise ValueError(f"{model_version!r} cannot name a model's lists")
    return model_version


def version_of(key: bytes) -> str | None:
    """Return the model version in a list's key, or None when the key is not a model's list."""
    prefix, _, rest = key.decode(errors="replace").partition(":")
    if prefix not in {"recs", "near", "similar", "vectors"} or not rest or (prefix == "recs" and rest in _SINGLE_KEYS):
        return None
    head, _, tail = rest.partition(":")
    return tail if prefix == "recs" and head == "popular" else head


@dataclass(frozen=True)
class PackedList:
    """A ranked list: item keys [n] and scores [n], best first. `as_of` is epoch ms."""

    as_of: int
    item_keys: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.item_keys)


def pack(item_keys: npt.ArrayLike, scores: npt.ArrayLike, *, as_of: int) -> bytes:
    """Pack item keys [n] and scores [n] into bytes. Scores are clipped to the range of half precision.

    Raises `ValueError` for unequal lengths, keys outside 0..2³¹-1 and scores that are not finite. `as_of` is epoch ms.
    """
    keys = np.asarray(item_keys, dtype=np.int64)
    values = np.asarray(scores, dtype=np.float64)
    if keys.ndim != 1 or keys.shape != values.shape:
        raise ValueError(f"keys {keys.shape} and scores {values.shape} are not two equal columns")
    if keys.size and not 0 <= keys.min() <= keys.max() <= np.iinfo(np.int32).max:
        raise ValueError("an item key does not fit 31 bits")
    if not np.isfinite(values).all():
        raise ValueError("a score is not finite")
    halves = np.clip(values, -LARGEST_SCORE, LARGEST_SCORE).astype(_SCORE)
    return _HEADER.pack(FORMAT, as_of) + keys.astype(_KEY).tobytes() + halves.tobytes()


def unpack(raw: bytes) -> PackedList:
    """Return the list in the bytes. Raises `MalformedList` for another format, a wrong length or invalid content."""
    as_of = unpack_as_of(raw)
    entries, rest = divmod(len(raw) - _HEADER.size, _ENTRY_BYTES)
    if rest:
        raise MalformedList(f"{len(raw)} bytes are not a header and whole entries")
    item_keys = np.frombuffer(raw, dtype=_KEY, count=entries, offset=_HEADER.size)
    scores = np.frombuffer(raw, dtype=_SCORE, offset=_HEADER.size + entries * _KEY.itemsize)
    if entries and item_keys.min() < 0:
        raise MalformedList("an item key is negative")
    if not np.isfinite(scores).all():
        raise MalformedList("a score is not finite")
    return PackedList(as_of=as_of, item_keys=item_keys, scores=scores)


def unpack_as_of(raw: bytes) -> int:
    """Return only the time of a packed list (epoch ms). Raises `MalformedList`."""
    if len(raw) < _HEADER.size:
        raise MalformedList(f"{len(raw)} bytes are shorter than the header")
    version, as_of = _HEADER.unpack_from(raw)
    if version != FORMAT:
        raise MalformedList(f"format {version}, this reader knows {FORMAT}")
    if not 0 <= as_of <= _LATEST_MS:
        raise MalformedList(f"the time {as_of} is outside the years 1970 to 9999")
    return int(as_of)


def pack_rows(rows: IntArray, scores: Float32Array, item_keys: IntArray, *, as_of: int) -> list[bytes]:
    """Pack rows [B, k] of a model's item order and scores [B, k] into B lists. The padding -1 is left out."""
    return [
        pack(item_keys[row[row >= 0]], score[row >= 0], as_of=as_of) for row, score in zip(rows, scores, strict=True)
    ]


def write_lists(
    redis: Redis, lists: Mapping[str, bytes], *, ttl_seconds: int | None = None, at_once: int = 500
) -> None:
    """Write packed lists in one pipeline: MSET for `at_once` lists, or one SET for each list with a time to live."""
    pipeline = redis.pipeline(transaction=False)
    if ttl_seconds is None:
        entries = list(lists.items())
        for start in range(0, len(entries), at_once):
            pipeline.mset(dict(entries[start : start + at_once]))
    else:
        for key, raw in lists.items():
            pipeline.set(key, raw, ex=ttl_seconds)
    pipeline.execute()


def read_bytes(redis: Redis, keys: Sequence[str]) -> list[bytes | None]:
    """Return the values of the keys with one MGET. The value of a missing key is None."""
    return cast("list[bytes | None]", redis.mget(keys)) if keys else []  # not str, because the client does not decode


@dataclass(frozen=True)
class Served:
    """The served model, and who gets another one."""

    champion: str
    routing: Routing = NO_SPLITS

    @property
    def versions(self) -> list[str]:
        """Return the models that shoppers get: the champion first, then the others by name."""
        return [self.champion, *sorted(self.routing.versions() - {self.champion})]


def served(redis: Redis) -> Served | None:
    """Return the pointer and the routing, read together. None before the first publication, or for a corrupt pointer.

    A routing that is corrupt, or was written with another pointer, counts as absent: every shopper gets the champion.
    """
    pointer, raw = read_bytes(redis, [CHAMPION, ROUTING])
    if pointer is None:
        return None
    try:
        version = check_version(pointer.decode())
    except ValueError as error:  # UnicodeDecodeError is one
        left_out("pointer", CHAMPION, error)
        return None
    try:
        routing = decode(raw)
        for other in routing.versions():
            check_version(other)
        if routing.champion not in (None, version):
            raise MalformedRouting(f"it was written for {routing.champion}, and {version} serves")
    except ValueError as error:
        left_out("routing", ROUTING, error)
        return Served(version)
    return Served(version, routing)


def champion(redis: Redis) -> str | None:
    """Return the version of the served model. None before the first publication, or when the pointer is corrupt."""
    found = served(redis)
    return None if found is None else found.champion


def readable(key: str, raw: bytes | None) -> PackedList | None:
    """Return the list in the bytes, None without bytes. A malformed list counts as absent; it is counted and logged."""
    if raw is None:
        return None
    try:
        return unpack(raw)
    except MalformedList as error:
        left_out("list", key, error)
        return None


def newer(batch: PackedList | None, near: PackedList | None) -> tuple[str, PackedList] | None:
    """Return the newer of a user's two lists with its source, `batch` or `nearline`, or None without lists."""
    found = [(source, packed) for source, packed in (("nearline", near), ("batch", batch)) if packed is not None]
    return max(found, key=lambda entry: entry[1].as_of, default=None)  # of equal times, the first: near-line


@dataclass
class ListReader:
    """Reads lists with one MGET for a request. It caches pointer, routing and popular lists for `pointer_seconds`.

    Threads may share it: a race only causes a second read of Redis. `clock` is monotonic, in seconds.
    """

    redis: Redis
    pointer_seconds: float = POINTER_SECONDS
    clock: Callable[[], float] = time.monotonic
    _served: tuple[float, Served | None] = field(default=(float("-inf"), None), init=False)
    _popular: dict[str, tuple[float, PackedList]] = field(default_factory=dict, init=False)

    def served(self) -> Served | None:
        """Return pointer and routing, at most `pointer_seconds` old. A missing pointer is read again at each call."""
        read_at, found = self._served
        now = self.clock()
        if found is None or now - read_at > self.pointer_seconds:
            found = served(self.redis)
            self._served = (now, found)
        return found

    def champion(self) -> str | None:
        """Return the served version, as old as `served`."""
        found = self.served()
        return None if found is None else found.champion

    def assign(self, user_id: str, slot: str | None) -> Assignment | None:
        """Return what the shopper gets in the slot (None: a list that is not shown), or None without a pointer."""
        found = self.served()
        return None if found is None else found.routing.assign(user_id, slot, champion=found.champion)

    def of_user(self, model_version: str, user_id: str) -> tuple[str, PackedList] | None:
        """Return the user's newest list with its source, or None when the user has no list."""
        keys = [recs_key(model_version, user_id), near_key(model_version, user_id)]
        batch, near = (readable(key, raw) for key, raw in zip(keys, read_bytes(self.redis, keys), strict=True))
        return newer(batch, near)

    def popular(self, model_version: str) -> PackedList | None:
        """Return the model's list for users without history, at most `pointer_seconds` old."""
        now = self.clock()
        known = self._popular.get(model_version)
        if known is not None and now - known[0] <= self.pointer_seconds:
            return known[1]
        key = popular_key(model_version)
        packed = readable(key, read_bytes(self.redis, [key])[0])
        young = {version: kept for version, kept in self._popular.items() if now - kept[0] <= self.pointer_seconds}
        self._popular = young if packed is None else {**young, model_version: (now, packed)}
        return packed

    def similar(self, model_version: str, item_ids: Sequence[str]) -> list[PackedList | None]:
        """Return the list of similar items for each item, or None when the model has no list."""
        if not item_ids:
            return []
        keys = [similar_key(model_version, item_id) for item_id in item_ids]
        return [readable(key, raw) for key, raw in zip(keys, read_bytes(self.redis, keys), strict=True)]


@dataclass
class ItemReader:
    """Reads items by key or by id. It caches at most `bound` items for `item_seconds`, or until they change.

    Every `change_seconds` one call asks which items changed (`graphstore.redis.changes`). Threads may share the reader.
    All methods raise `redis.RedisError`.
    """

    redis: Redis
    item_seconds: float = ITEM_SECONDS
    bound: int = 200_000
    change_seconds: float = CHANGE_SECONDS
    clock: Callable[[], float] = time.monotonic
    _kept: dict[int, tuple[float, Item | None]] = field(default_factory=dict, init=False)
    _keys: dict[str, int] = field(default_factory=dict, init=False)
    _newest: tuple[float, list[Item]] = field(default=(float("-inf"), []), init=False)
    _number: int = field(default=0, init=False)
    """Of the newest change that is known here."""
    _asked_at: float = field(default=float("-inf"), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def by_key(self, item_keys: Sequence[int]) -> list[Item | None]:
        """Return the items in the order of `item_keys`, None for an unknown item. Misses are read with one call."""
        now = self.clock()
        if now - self._asked_at >= self.change_seconds:
            self._forget_changed(now)
        oldest = now - self.item_seconds
        kept = self._kept
        found = [*map(kept.get, item_keys)]
        missing = [key for key, entry in zip(item_keys, found, strict=True) if entry is None or entry[0] < oldest]
        if not missing:
            return [entry[1] for entry in found if entry is not None]
        number = self._number
        read = dict(zip(missing, item_store.get_items_by_key(self.redis, missing), strict=True))
        self._keep(read, now, number)
        return [
            read[key] if key in read else (entry or (0.0, None))[1] for key, entry in zip(item_keys, found, strict=True)
        ]

    def by_id(self, item_ids: Sequence[str]) -> list[Item | None]:
        """Return the items in the order of `item_ids`, None for an unknown item, as `by_key`."""
        now = self.clock()
        if now - self._asked_at >= self.change_seconds:
            self._forget_changed(now)
        oldest = now - self.item_seconds
        found: dict[str, Item | None] = {}
        for item_id in item_ids:
            entry = self._kept.get(self._keys.get(item_id, -1))
            if entry is not None and entry[0] >= oldest:
                found[item_id] = entry[1]
        missing = [item_id for item_id in dict.fromkeys(item_ids) if item_id not in found]
        if missing:
            number = self._number
            read = item_store.get_items(self.redis, missing)
            found |= dict(zip(missing, read, strict=True))
            self._keep({item.item_key: item for item in read if item is not None}, now, number)
        return [found[item_id] for item_id in item_ids]

    def newest(self) -> list[Item]:
        """Return the newest available items, at most `item_seconds` old, or read after the last change."""
        now = self.clock()
        if now - self._asked_at >= self.change_seconds:
            self._forget_changed(now)
        read_at, items = self._newest
        if now - read_at > self.item_seconds:
            items = [item for item in item_store.newest_items(self.redis) if item.available]
            self._newest = (now, items)
        return items

    def _keep(self, read: Mapping[int, Item | None], now: float, number: int) -> None:
        """Keep what was read, unless changes became known meanwhile: it may be older than they are."""
        with self._lock:
            if number != self._number:
                return
            if len(self._kept) + len(read) > self.bound:
                self._kept.clear()
                self._keys.clear()
            self._kept.update((key, (now, item)) for key, item in read.items())
            self._keys.update((item.item_id, key) for key, item in read.items() if item is not None)

    def _forget_changed(self, now: float) -> None:
        """Forget the items that changed since the last look. Other threads go on with what is kept."""
        self._asked_at = now
        number, keys = changed_since(self.redis, self._number)
        if number == self._number and not keys:
            return
        with self._lock:
            self._number = number
            self._newest = (float("-inf"), [])
            if keys is None:
                self._kept.clear()
                self._keys.clear()
                return
            for key in keys:
                self._kept.pop(key, None)
