"""Explain: finds a short reason for each item in a user's list.

Arrives: a user and the items in this user's list. Leaves: one short reason for each item. Next: `serving.recommend`
puts it into the field `reason`.

The score is a sum of terms, and near-line does not store the terms. So each reason is evidence that a reader can check
in Redis: the user's history, the similar lists of recently touched items, or the trending list.
"""

from collections.abc import Sequence

from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import hot, item_store
from serving.cache import ListReader

RECENT_ITEMS = 10
TREND_WINDOW = "24h"
TREND_ITEMS = 20


def reasons(
    redis: Redis,
    lists: ListReader,
    model_version: str,
    user_id: str,
    items: Sequence[Item],
    *,
    otherwise: str = "picked for you",
) -> list[str]:
    """Return the most personal reason that is true for each item, or `otherwise` when there is no evidence."""
    recent = [item_id for item_id, _ in hot.recent(redis, user_id, RECENT_ITEMS)]
    seen = hot.seen(redis, user_id)
    trending = {item_id for item_id, _ in hot.trending(redis, TREND_WINDOW, TREND_ITEMS)}
    companions = _companions(redis, lists, model_version, recent)
    return [_reason(item, seen, companions, trending) or otherwise for item in items]


def _companions(redis: Redis, lists: ListReader, model_version: str, recent: Sequence[str]) -> dict[int, str]:
    """Map an item key to a title: the newest recent item that has this item in its similar list."""
    similar = lists.similar(model_version, recent)
    companions: dict[int, str] = {}
    for item, packed in zip(item_store.get_items(redis, recent), similar, strict=True):
        if item is None or packed is None:
            continue
        for key in packed.item_keys.tolist():
            companions.setdefault(key, item.title or item.item_id)
    return companions


def _reason(item: Item, seen: set[str], companions: dict[int, str], trending: set[str]) -> str | None:
    if item.item_id in seen:
        return "from your history"
    if companion := companions.get(item.item_key):
        return f"goes with {companion}"
    return "popular now" if item.item_id in trending else None
