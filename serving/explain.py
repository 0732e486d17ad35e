"""Why an item stands in a list, in words that the lists themselves can vouch for.

Arrives: a shopper and the items of their list. Leaves: one short reason for each. Next: the `reason` of an answer.

The score is a sum of terms; near-line does not keep its parts. These reasons are evidence that a reader can check in
Redis: the shopper's history, the similar lists of what they touched last, the trend.
"""

from collections.abc import Sequence

from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import hot
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
    """One reason for each item, the most personal that holds; `otherwise` where the lists vouch for none."""
    recent = [item_id for item_id, _ in hot.recent(redis, user_id, RECENT_ITEMS)]
    seen = hot.seen(redis, user_id)
    trending = {item_id for item_id, _ in hot.trending(redis, TREND_WINDOW, TREND_ITEMS)}
    companions = _companions(redis, lists, model_version, recent)
    return [_reason(item, seen, companions, trending) or otherwise for item in items]


def _companions(redis: Redis, lists: ListReader, model_version: str, recent: Sequence[str]) -> dict[int, str]:
    """Item key → the title of the newest recent item in whose similar list it stands."""
    similar = lists.similar(model_version, recent)
    companions: dict[int, str] = {}
    for item, packed in zip(hot.get_items(redis, recent), similar, strict=True):
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
