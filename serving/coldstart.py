"""Cold start: returns the list for users without history.

Arrives: a model version. Leaves: items with scores. Next: `serving.recommend` takes the first `k` items.

The first choice is the model's popular list. The model scores an empty history like any other, and near-line writes
this list again when the trend changes. When the model has no such list, the trending counts of the last hours are used.
"""

import math
from collections.abc import Sequence
from datetime import datetime

from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import hot, item_store
from serving.cache import ItemReader, ListReader
from stream.events import utc

WINDOWS = tuple(hot.TRENDING_WINDOWS_HOURS)

Scored = tuple[Item, float]


def known(items: Sequence[Item | None], scores: Sequence[float]) -> list[Scored]:
    """Return items with scores. Items that left the catalogue or are not available are left out."""
    return [(item, score) for item, score in zip(items, scores, strict=True) if item is not None and item.available]


def trending(redis: Redis, window: str, count: int) -> list[Scored]:
    """Return the window's items, most events first, each with the score log(1 + events).

    Raises `ValueError` for an unknown window.
    """
    if window not in WINDOWS:
        raise ValueError(f"{window!r} is none of {', '.join(WINDOWS)}")
    rows = hot.trending(redis, window, count)
    items = item_store.get_items(redis, [item_id for item_id, _ in rows])
    return known(items, [math.log1p(max(0.0, count)) for _, count in rows])


def for_the_unknown(
    redis: Redis, lists: ListReader, items: ItemReader, model_version: str, *, count: int, now: datetime
) -> tuple[datetime, list[Scored]]:
    """Return the time of the list and its items.

    They come from the model's popular list, or from the shortest window with `count` items. When no window has so many,
    the window with the most items is used.
    """
    packed = lists.popular(model_version)
    if packed is not None:
        found = known(items.by_key(packed.item_keys.tolist()), packed.scores.tolist())
        if found:
            return utc(packed.as_of), found
    best: list[Scored] = []
    for window in WINDOWS:
        found = trending(redis, window, count)
        if len(found) >= count:
            return now, found
        best = max(best, found, key=len)
    return now, best
