"""Lists for shoppers about whom nothing is known.

Arrives: a model version. Leaves: items with scores. Next: `serving.recommend` cuts them to what was asked.

The model scores a shopper without history like any other, and near-line writes that list anew as the trend moves; it
comes first. Raw counts of the last hours stand in where a model has published none.
"""

from collections.abc import Sequence
from datetime import datetime

from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import hot
from serving.cache import ItemReader, ListReader
from stream.events import utc

WINDOWS = tuple(hot.TRENDING_WINDOWS_HOURS)

Scored = tuple[Item, float]


def known(items: Sequence[Item | None], scores: Sequence[float]) -> list[Scored]:
    """Items with their scores, without those that left the catalogue or cannot be bought."""
    return [(item, score) for item, score in zip(items, scores, strict=True) if item is not None and item.available]


def trending(redis: Redis, window: str, count: int) -> list[Scored]:
    """The window's items with their counts, most events first. Raises `ValueError` for an unknown window."""
    if window not in WINDOWS:
        raise ValueError(f"{window!r} is none of {', '.join(WINDOWS)}")
    rows = hot.trending(redis, window, count)
    return known(hot.get_items(redis, [item_id for item_id, _ in rows]), [score for _, score in rows])


def for_the_unknown(
    redis: Redis, lists: ListReader, items: ItemReader, model_version: str, *, count: int, now: datetime
) -> tuple[datetime, list[Scored]]:
    """When the list was made, and its items: the model's own, else the shortest window that fills `count`."""
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
