"""The lists in Redis: their keys, their packed form, and how a reader gets the newest one.

Arrives: rows and scores from `serving.publisher` (whole models) and `serving.nearline` (single shoppers).
Leaves: packed lists in Redis, and `PackedList` values for `serving.recommend`.

`recs:champion` names the model whose lists are whole. A model's lists are written under its own version and the
pointer is switched last, so that no reader ever sees half a model. `near:` overlays `recs:` for a shopper who did
something since; of the two the newer `as_of` wins.

A packed list is a header (format u8, as_of i64 epoch ms) followed by n item keys (i32) and n scores (f16), little
endian: 609 bytes for 100 items, a quarter of the same as JSON. Nothing here imports SQL or torch: the web process
reads through this module.
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

from graphstore.arrays import Float32Array, IntArray
from graphstore.catalogue import Item
from graphstore.redis import hot

FORMAT = 1
CHAMPION = "recs:champion"
FRESHNESS = "freshness"
"""List: the last measured delays (ms) from a shopper's event to their changed list, newest first."""

READ_TIMEOUT_SECONDS = 1.0
"""How long a reader waits for Redis: a page must not hang on it."""
POINTER_SECONDS = 1.0
"""How long a reader trusts the pointer `recs:champion` and the popular list."""
ITEM_SECONDS = 30.0
"""How long a reader trusts titles and prices."""

_HEADER = struct.Struct("<Bq")
_KEY = np.dtype("<i4")
_SCORE = np.dtype("<f2")
_ENTRY_BYTES = _KEY.itemsize + _SCORE.itemsize
_LARGEST_SCORE = float(np.finfo(np.float16).max)
_RESERVED_VERSIONS = frozenset({"champion", "popular"})


class MalformedList(ValueError):
    """The bytes are not a packed list of this format; the message says why."""


def recs_key(model_version: str, user_id: str) -> str:
    """The shopper's list as the publisher wrote it."""
    return f"recs:{model_version}:{user_id}"


def near_key(model_version: str, user_id: str) -> str:
    """The shopper's list as near-line wrote it."""
    return f"near:{model_version}:{user_id}"


def popular_key(model_version: str) -> str:
    """The list of a shopper about whom nothing is known."""
    return f"recs:popular:{model_version}"


def similar_key(model_version: str, item_id: str) -> str:
    """The items that go with an item."""
    return f"similar:{model_version}:{item_id}"


def check_version(model_version: str) -> str:
    """The version itself; raises `ValueError` where it could be mistaken for another part of a key."""
    if not model_version or ":" in model_version or model_version in _RESERVED_VERSIONS:
        raise ValueError(f"{model_version!r} cannot name a model's lists")
    return model_version


def version_of(key: bytes) -> str | None:
    """The model version that a key belongs to; None for a key that is not a list of a model."""
    prefix, _, rest = key.decode(errors="replace").partition(":")
    if prefix not in {"recs", "near", "similar"} or not rest or rest == "champion":
        return None
    head, _, tail = rest.partition(":")
    return tail if prefix == "recs" and head == "popular" else head


@dataclass(frozen=True)
class PackedList:
    """A ranked list: item keys [n] and scores [n], best first, as of an epoch millisecond."""

    as_of: int
    item_keys: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.item_keys)


def pack(item_keys: npt.ArrayLike, scores: npt.ArrayLike, *, as_of: int) -> bytes:
    """Item keys [n] and scores [n] as bytes; scores beyond half precision are cut to its largest value.

    Raises `ValueError` for unequal lengths, keys outside 0..2³¹-1 and scores that are not finite.
    """
    keys = np.asarray(item_keys, dtype=np.int64)
    values = np.asarray(scores, dtype=np.float64)
    if keys.ndim != 1 or keys.shape != values.shape:
        raise ValueError(f"keys {keys.shape} and scores {values.shape} are not two equal columns")
    if keys.size and not 0 <= keys.min() <= keys.max() <= np.iinfo(np.int32).max:
        raise ValueError("an item key does not fit 31 bits")
    if not np.isfinite(values).all():
        raise ValueError("a score is not finite")
    halves = np.clip(values, -_LARGEST_SCORE, _LARGEST_SCORE).astype(_SCORE)
    return _HEADER.pack(FORMAT, as_of) + keys.astype(_KEY).tobytes() + halves.tobytes()


def unpack(raw: bytes) -> PackedList:
    """The inverse of `pack`; raises `MalformedList` for another format, a torn length or impossible content."""
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
    """Only the time of a packed list (epoch ms)."""
    if len(raw) < _HEADER.size:
        raise MalformedList(f"{len(raw)} bytes are shorter than the header")
    version, as_of = _HEADER.unpack_from(raw)
    if version != FORMAT:
        raise MalformedList(f"format {version}, this reader knows {FORMAT}")
    return int(as_of)


def pack_rows(rows: IntArray, scores: Float32Array, item_keys: IntArray, *, as_of: int) -> list[bytes]:
    """Rows [B, k] of a model's item order with their scores [B, k] as B packed lists; -1 (padding) is left out."""
    return [
        pack(item_keys[row[row >= 0]], score[row >= 0], as_of=as_of) for row, score in zip(rows, scores, strict=True)
    ]


def write_lists(
    redis: Redis, lists: Mapping[str, bytes], *, ttl_seconds: int | None = None, at_once: int = 500
) -> None:
    """Write packed lists under their keys in one pipeline: MSET by the hundreds, or SET each with a time to live."""
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
    """The values of some keys by one MGET, None for a key that is not there."""
    return cast("list[bytes | None]", redis.mget(keys)) if keys else []  # never str: the client does not decode


def champion(redis: Redis) -> str | None:
    """The model whose lists are whole and served; None before the first publication."""
    raw = read_bytes(redis, [CHAMPION])[0]
    return None if raw is None else raw.decode()


def newer(batch: bytes | None, near: bytes | None) -> tuple[str, PackedList] | None:
    """The newer of a shopper's two lists with its source, `batch` or `nearline`; None where there is neither."""
    found = [(source, unpack(raw)) for source, raw in (("nearline", near), ("batch", batch)) if raw is not None]
    return max(found, key=lambda entry: entry[1].as_of, default=None)  # max keeps the first of equals: near-line


@dataclass
class ListReader:
    """A worker's view of the lists: one MGET a request; pointer and popular list are trusted for a moment.

    Safe for many threads: the worst that a race does is to read Redis twice. `clock` is in seconds, monotonic.
    """

    redis: Redis
    pointer_seconds: float = POINTER_SECONDS
    clock: Callable[[], float] = time.monotonic
    _pointer: tuple[float, str | None] = field(default=(float("-inf"), None), init=False)
    _popular: tuple[float, str, PackedList | None] = field(default=(float("-inf"), "", None), init=False)

    def champion(self) -> str | None:
        """The served model, at most `pointer_seconds` old; a missing pointer is looked up each time."""
        read_at, version = self._pointer
        now = self.clock()
        if version is None or now - read_at > self.pointer_seconds:
            version = champion(self.redis)
            self._pointer = (now, version)
        return version

    def of_user(self, model_version: str, user_id: str) -> tuple[str, PackedList] | None:
        """The shopper's newest list with its source; None for a shopper without one."""
        return newer(*read_bytes(self.redis, [recs_key(model_version, user_id), near_key(model_version, user_id)]))

    def popular(self, model_version: str) -> PackedList | None:
        """The model's list for the unknown, at most `pointer_seconds` old."""
        read_at, version, packed = self._popular
        now = self.clock()
        if packed is None or version != model_version or now - read_at > self.pointer_seconds:
            raw = read_bytes(self.redis, [popular_key(model_version)])[0]
            packed = None if raw is None else unpack(raw)
            self._popular = (now, model_version, packed)
        return packed

    def similar(self, model_version: str, item_ids: Sequence[str]) -> list[PackedList | None]:
        """The similar items of each item, None where the model has none."""
        if not item_ids:
            return []
        found = read_bytes(self.redis, [similar_key(model_version, item_id) for item_id in item_ids])
        return [None if raw is None else unpack(raw) for raw in found]


@dataclass
class ItemReader:
    """Titles and prices by item key, kept in the worker for `item_seconds`; at most `bound` of them."""

    redis: Redis
    item_seconds: float = ITEM_SECONDS
    bound: int = 200_000
    clock: Callable[[], float] = time.monotonic
    _kept: dict[int, tuple[float, Item | None]] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def by_key(self, item_keys: Sequence[int]) -> list[Item | None]:
        """The items in the order asked, None for one that Redis does not know; misses are read in one go."""
        oldest = self.clock() - self.item_seconds
        kept = self._kept
        found = [kept.get(key) for key in item_keys]
        missing = [key for key, entry in zip(item_keys, found, strict=True) if entry is None or entry[0] < oldest]
        if not missing:
            return [entry[1] for entry in found if entry is not None]
        read_at = self.clock()
        fresh = {
            key: (read_at, item) for key, item in zip(missing, hot.get_items_by_key(self.redis, missing), strict=True)
        }
        with self._lock:
            if len(kept) + len(fresh) > self.bound:
                kept.clear()
            kept.update(fresh)
        return [(fresh.get(key) or entry or (0.0, None))[1] for key, entry in zip(item_keys, found, strict=True)]
