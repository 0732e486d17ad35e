"""Shop-wide: the kinds of slots that are the same for every shopper: what sells, what rises, one category.

Arrives: a draft. Leaves: batches of items, made only as far as the list needs them. Next: `serving.slots.fill`.

`best_sellers` is what fills a list up, so it never ends before the shop does: after the best sellers of the window come
those of longer windows, then the model's popular items, then whatever the catalogue holds, newest first, up to a
bound. After a sell-out that leaves 33 of 667 items, a list of 20 has 20.
"""

import math
from collections.abc import Iterator

from graphstore.redis import hot, item_store
from serving import coldstart
from serving.slots.draft import Batch, Draft
from serving.slots.personal import popular, stored
from serving.slots.ranked import ranked
from serving.slots.slot import Kind

CATALOGUE = "catalogue"
"""The source of an item that fills a list because it can be bought and nothing better is known."""
AT_ONCE = 500
"""Items of the catalogue that are looked at together."""
SCANNED_KEYS = 5_000
"""Items of the catalogue that one list looks at in the worst case: some milliseconds."""
MOST_EVENTS = hot.TRENDING_ITEMS


def trending(draft: Draft) -> Iterator[Batch]:
    """Propose what rises; where nothing has a past to rise above, what has the most events."""
    visit, window = draft.visit, draft.request.in_window
    rising = visit.store.shop.rising(window, draft.category)
    if rising:
        yield Batch(draft.of_shop(rising, Kind.TRENDING), visit.now)
    most = coldstart.trending(visit.store.redis, window, MOST_EVENTS)
    yield Batch(draft.scored(most, Kind.TRENDING), visit.now)


def best_sellers(draft: Draft) -> Iterator[Batch]:
    """Propose what sold most; then whatever fills the list."""
    visit = draft.visit
    windows = coldstart.WINDOWS[coldstart.WINDOWS.index(draft.request.in_window) :]
    for window in windows:
        best = visit.store.shop.best(window, draft.category)
        if best:
            yield Batch(draft.of_shop(best, Kind.BEST_SELLERS), visit.now)
    yield from popular(draft)
    if not draft.exhausted:
        yield from _catalogue(draft)


def category(draft: Draft) -> Iterator[Batch]:
    """Propose the model's order of one category. The draft's criteria hold for all sources."""
    if found := ranked(draft):
        yield found
    else:
        yield from stored(draft)


def _catalogue(draft: Draft) -> Iterator[Batch]:
    """Propose the newest items. Keys are given in the order in which items come, so they count down from the newest."""
    newest = item_store.newest_key(draft.visit.store.redis)
    for start in range(newest, max(-1, newest - SCANNED_KEYS), -AT_ONCE):
        keys = list(range(start, max(-1, start - AT_ONCE), -1))
        scores = [-math.log1p(newest - key) for key in keys]
        yield Batch(draft.by_key(keys, scores, CATALOGUE), draft.visit.now)
