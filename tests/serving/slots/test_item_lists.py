import math

import pytest
from redis import Redis

from graphstore.redis import hot, item_store
from serving import cache
from serving.online.protocol import SessionEvent
from serving.shop_lists.lists import ShopEntry, encode
from serving.slots.fill import fill
from serving.slots.slot import Kind, Slot
from tests.serving.slots.small_shop import MODEL, Shop, item

SIMILAR = Slot(kind=Kind.SIMILAR, fallback=())
TOGETHER = Slot(kind=Kind.BOUGHT_TOGETHER, fallback=())


@pytest.fixture(autouse=True)
def lists(redis: Redis, shop: Shop) -> None:
    packed = {
        "i1": cache.pack([2, 3, 4], [0.5, 0.25, -1], as_of=2_000),
        "i2": cache.pack([3, 1], [0.5, 0.5], as_of=3_000),
    }
    cache.write_lists(redis, {cache.similar_key(MODEL, name): raw for name, raw in packed.items()})
    together = {"i1": [ShopEntry(2, 2.0, 9), ShopEntry(5, 1.0, 4)], "i2": [ShopEntry(5, 2.0, 3), ShopEntry(1, 1.0, 2)]}
    redis.hset("together", mapping={name: encode(entries) for name, entries in together.items()})


def scored(shop: Shop, slot: Slot, user: str | None = None, **more: object) -> dict[str, float]:
    return {one.candidate.item.item_id: one.score for one in fill(shop.draft(slot, user, **more)).chosen}  # type: ignore[arg-type]


def test_the_score_of_a_similar_item_is_the_log_of_its_similarity(shop: Shop) -> None:
    found = scored(shop, SIMILAR, items=("i1",))
    assert list(found) == ["i2", "i3", "i4"]
    assert found["i2"] == pytest.approx(math.log(0.5))
    assert found["i4"] < found["i3"] < 0  # also for a similarity below 0


def test_what_is_like_two_items_goes_first_and_the_two_are_not_in_the_list(shop: Shop) -> None:
    found = scored(shop, SIMILAR, items=("i1", "i2"))
    assert list(found) == ["i3", "i4"]
    assert found["i3"] == pytest.approx(math.log(0.75))


def test_what_goes_with_two_items_goes_first(shop: Shop) -> None:
    found = scored(shop, TOGETHER, items=("i1", "i2"))
    assert list(found) == ["i5"]
    assert found["i5"] == pytest.approx(math.log(math.exp(1.0) + math.exp(2.0)))
    assert list(scored(shop, TOGETHER, items=("i1",))) == ["i2", "i5"]


def test_without_given_items_the_cart_is_meant_then_the_last_look(shop: Shop) -> None:
    assert list(scored(shop, TOGETHER, cart=("i1",))) == ["i2", "i5"]
    assert list(scored(shop, TOGETHER, session=(SessionEvent(item_id="i2"), SessionEvent(item_id="i1")))) == [
        "i2",
        "i5",
    ]
    hot.record(shop.redis, [("ann", "i2", 1), ("ann", "i1", 2)], keep=10)
    assert list(scored(shop, TOGETHER, "ann")) == ["i2", "i5"]
    assert scored(shop, TOGETHER) == {}


def test_variants_of_the_item_itself_are_not_offered(shop: Shop) -> None:
    item_store.set_items(shop.redis, [item(1, product="p"), item(2, product="p")])
    assert list(scored(shop, SIMILAR, items=("i1",))) == ["i3", "i4"]


def test_an_item_without_a_list_has_none(shop: Shop) -> None:
    assert scored(shop, SIMILAR, items=("i9", "ghost")) == {}
    assert scored(shop, TOGETHER, items=("i9", "ghost")) == {}
