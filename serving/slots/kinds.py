"""Kinds: what proposes the items of each kind of slot.

Arrives: a draft. Leaves: batches of candidates, the best source of the kind first. Next: `serving.slots.fill`.
"""

from collections.abc import Callable, Iterator, Mapping

from serving.slots import item_lists, personal, shop_wide
from serving.slots.draft import Batch, Draft
from serving.slots.slot import Kind

KINDS: Mapping[Kind, Callable[[Draft], Iterator[Batch]]] = {
    Kind.FOR_YOU: personal.for_you,
    Kind.BUY_AGAIN: personal.buy_again,
    Kind.DISCOVER: personal.discover,
    Kind.SIMILAR: item_lists.similar,
    Kind.BOUGHT_TOGETHER: item_lists.bought_together,
    Kind.TRENDING: shop_wide.trending,
    Kind.BEST_SELLERS: shop_wide.best_sellers,
    Kind.RECENTLY_VIEWED: personal.recently_viewed,
    Kind.CATEGORY: shop_wide.category,
}
