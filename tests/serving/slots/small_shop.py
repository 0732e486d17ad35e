"""A small shop whose lists are known, and a ranker that says what it was asked.

Item n has the key n and the id `i<n>`. Its first category is `even` or `odd`, its brand `own` for every tenth. The
model's list of ann goes up from 1, the popular list down from the last item.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import item_store
from serving import cache
from serving.online.client import RankerAway, RankerClient
from serving.online.protocol import RankAnswer, RankRequest
from serving.shop_lists.lists import ALL, ShopEntry, best_key, encode, rising_key, write_hash
from serving.slots.defaults import DEFAULT_SLOTS
from serving.slots.draft import Draft
from serving.slots.request import ListRequest
from serving.slots.slot import Slot
from serving.slots.visit import Visit
from serving.storefront import Storefront
from stream.events import milliseconds

MODEL = "m1"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
NOW_MS = milliseconds(NOW)
DAY_MS = 86_400_000
ITEMS = 40
LIST = 30
"""Items in a stored list."""


def item(key: int, *, available: bool = True, product: str | None = None, price: float = 1.0) -> Item:
    return Item(
        key,
        f"i{key}",
        title=f"Item {key}",
        categories=["even" if key % 2 == 0 else "odd"],
        brand="own" if key % 10 == 0 else "other",
        price=price,
        available=available,
        product_id=product,
    )


def ids(keys: Sequence[int]) -> list[str]:
    return [f"i{key}" for key in keys]


class Ranker(RankerClient):
    """Ranks by key, the highest first, among the items that match; or is away."""

    def __init__(self, items: Sequence[Item], *, away: str | None = None) -> None:
        super().__init__("", timeout_ms=1)
        self.items = items
        self.away = away
        self.asked: list[RankRequest] = []

    def rank(self, request: RankRequest) -> RankAnswer:
        self.asked.append(request)
        if self.away is not None:
            raise RankerAway(self.away)
        found = [
            one
            for one in sorted(self.items, key=lambda one: -one.item_key)
            if one.available
            and one.item_id not in request.without
            and (request.candidates is None or one.item_id in request.candidates)
            and all(criteria.matches(one) for criteria in request.criteria)
        ][: request.k]
        keys = [one.item_key for one in found]
        return RankAnswer(model_version=MODEL, as_of=NOW_MS, item_keys=keys, scores=[key / 100 for key in keys])


@dataclass
class Shop:
    redis: Redis
    items: list[Item]
    store: Storefront
    ranker: Ranker
    sold_out: list[int] = field(default_factory=list)

    def request(self, slot: Slot | str, user: str | None = "ann", *, k: int = 5, **more: object) -> ListRequest:
        place = DEFAULT_SLOTS[slot] if isinstance(slot, str) else slot
        return ListRequest(slot=place, k=k, user_id=user, **more)  # type: ignore[arg-type]

    def draft(self, slot: Slot | str, user: str | None = "ann", *, k: int = 5, **more: object) -> Draft:
        return Draft(Visit(self.store, user, NOW), self.request(slot, user, k=k, **more), MODEL)

    def sell_out(self, keys: Sequence[int]) -> None:
        self.items = [item(one.item_key, available=one.item_key not in keys) for one in self.items]
        item_store.set_items(self.redis, self.items)
        self.ranker.items = self.items


def opened(redis: Redis, *, items: int = ITEMS, away: str | None = None) -> Shop:
    """A shop with one model, lists for ann, and nothing known of sales."""
    every = [item(key) for key in range(1, items + 1)]
    item_store.set_items(redis, every)
    length = min(LIST, items)
    scores = np.linspace(5, 1, length)
    up, down = np.arange(1, length + 1), np.arange(items, items - length, -1)
    lists = {cache.recs_key(MODEL, "ann"): up, cache.popular_key(MODEL): down}
    cache.write_lists(redis, {key: cache.pack(keys, scores, as_of=1_000) for key, keys in lists.items()})
    redis.set(cache.CHAMPION, MODEL)
    ranker = Ranker(every, away=away)
    store = Storefront.open(redis, pointer_seconds=0, item_seconds=0, ranker=ranker)
    store.shop.seconds = 0
    store.items.change_seconds = 0
    return Shop(redis, every, store, ranker)


def sell(redis: Redis, keys: Sequence[int], *, window: str = "24h", category: str = ALL, rising: bool = False) -> None:
    """Write a shop list, the first key best."""
    entries = [ShopEntry(key, 10.0 - place, 100 - place) for place, key in enumerate(keys)]
    write_hash(redis, rising_key(window) if rising else best_key(window), {category: encode(entries)})
