from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from graphstore.redis import hot, item_store
from serving import cache
from serving.recommend import serve
from serving.routing import Exploration
from serving.rules.candidate import CAP_RELAXED, Chosen
from serving.rules.criteria import Criteria
from serving.rules.rule_set import Pin, Quota, RuleSet
from serving.rules.select import Passed, arrange
from serving.shop_lists.lists import ShopEntry, encode
from serving.slots import fill as filling
from serving.slots.defaults import DEFAULT_SLOTS, PLAIN
from serving.slots.fill import Filled, fill
from serving.slots.slot import Kind, Slot
from tests.serving.slots.small_shop import DAY_MS, ITEMS, LIST, MODEL, NOW, NOW_MS, Shop, ids, item, opened, sell


def names(filled: Filled) -> list[str]:
    return [one.candidate.item.item_id for one in filled.chosen]


def sources(filled: Filled) -> list[str]:
    return [one.candidate.source for one in filled.chosen]


def test_the_stored_list_is_shown_as_it_is_and_asks_nobody_else(shop: Shop) -> None:
    filled = fill(shop.draft(PLAIN))
    assert (names(filled), filled.source) == (ids([1, 2, 3, 4, 5]), "batch")
    assert shop.ranker.asked == []


@pytest.mark.parametrize(
    ("slot", "criteria", "shown"),
    [
        (PLAIN, Criteria(), [1, 3, 5, 6, 7]),
        (DEFAULT_SLOTS["home"], Criteria(), [3, 5, 6, 7, 8]),  # 1 is bought again after ten days
        (Slot(rules=RuleSet(bought_within_days=30)), Criteria(), [3, 5, 7, 8, 9]),
        (Slot(rules=RuleSet(only=Criteria(categories=("odd",)))), Criteria(), [3, 5, 7, 9, 11]),
        (PLAIN, Criteria(categories=("odd",), without_items=("i5",)), [1, 3, 7, 9, 11]),
    ],
)
def test_the_short_way_gives_what_the_long_way_gives(
    shop: Shop, slot: Slot, criteria: Criteria, shown: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    item_store.set_items(shop.redis, [item(2, available=False), item(3, product="p"), item(4, product="p")])
    shop.redis.zadd(hot.bought_key("ann"), {"i1": NOW_MS - DAY_MS, "i6": NOW_MS - 20 * DAY_MS})
    shop.redis.hset("repurchase", mapping={"odd": 10.0, "even": 10.0})
    short = fill(shop.draft(slot, criteria=criteria))
    monkeypatch.setattr(filling, "first_of_stored", lambda draft: None)
    long = fill(shop.draft(slot, criteria=criteria))
    assert names(short) == ids(shown)
    assert (long.chosen, long.source, long.as_of) == (short.chosen, short.source, short.as_of)
    assert shop.ranker.asked == []


def test_a_filter_that_empties_the_stored_list_asks_the_ranker(shop: Shop) -> None:
    filled = fill(shop.draft(PLAIN, criteria=Criteria(brands=("own",))))
    assert set(names(filled)) == {*ids([10, 20, 30, 40])}
    assert set(sources(filled)) == {"batch", "online"}
    assert shop.ranker.asked[0].criteria == (Criteria(brands=("own",)),)


def test_a_filtered_list_is_full_without_the_ranker_and_says_what_is_away(redis: Redis) -> None:
    shop = opened(redis, items=600, away="no answer within 150 ms")
    draft = shop.draft(PLAIN, k=20, criteria=Criteria(brands=("own",), categories=("even",)))
    filled = fill(draft)
    assert len(filled.chosen) == 20
    assert {one.candidate.item.brand for one in filled.chosen} == {"own"}
    assert sources(filled)[-1] == "catalogue"
    assert draft.degraded == "ranker away: no answer within 150 ms"
    assert len(shop.ranker.asked) == 1  # once for a list


def test_fallbacks_fill_in_their_order_below_the_kind_itself(shop: Shop) -> None:
    sell(shop.redis, [7, 8])
    sell(shop.redis, [9, 7], rising=True)
    slot = Slot(kind=Kind.RECENTLY_VIEWED, fallback=(Kind.TRENDING, Kind.BEST_SELLERS))
    hot.record(shop.redis, [("ann", "i3", 1)], keep=10)
    filled = fill(shop.draft(slot, k=4))
    assert names(filled) == ids([3, 9, 7, 8])
    assert sources(filled) == ["recently_viewed", "trending", "trending", "best_sellers"]
    assert filled.source == "recently_viewed"


def test_a_quota_takes_from_a_fallback_what_the_kind_does_not_have(shop: Shop) -> None:
    sell(shop.redis, [8, 20])
    rules = RuleSet(quota=(Quota(items=Criteria(brands=("own",)), at_least=1),))
    cache.write_lists(shop.redis, {cache.recs_key(MODEL, "ann"): cache.pack([1, 2, 3, 4], [4, 3, 2, 1], as_of=2_000)})
    shop.ranker.away = "away"
    filled = fill(shop.draft(Slot(rules=rules), k=3))
    assert len(set(ids([10, 20, 30, 40])) & set(names(filled))) == 1
    assert names(filled)[:2] == ids([1, 2])


def test_a_cap_takes_from_a_fallback_rather_than_breaks(shop: Shop) -> None:
    cache.write_lists(shop.redis, {cache.recs_key(MODEL, "ann"): cache.pack([2, 4, 6, 8], [4, 3, 2, 1], as_of=2_000)})
    shop.ranker.away = "away"
    filled = fill(shop.draft(Slot(rules=RuleSet(per_category=2)), k=4))
    assert [one.candidate.item.item_key % 2 for one in filled.chosen].count(0) == 2
    assert not any(CAP_RELAXED in one.rules for one in filled.chosen)


def test_a_pin_stands_though_nobody_proposes_it_and_does_not_name_the_list(shop: Shop) -> None:
    filled = fill(shop.draft(Slot(rules=RuleSet(pin=(Pin(item_id="i39", position=0),))), k=3))
    assert (names(filled), filled.source) == (ids([39, 1, 2]), "batch")


def test_an_exploring_slot_draws_new_items_and_keeps_the_source_of_the_list(shop: Shop) -> None:
    filled = fill(shop.draft(PLAIN, k=3), exploration=Exploration(new_items=1.0), seed=1)
    assert sources(filled) == ["new"] * 3
    filled = fill(shop.draft(PLAIN, k=9), exploration=Exploration(new_items=0.5), seed=1)
    assert {"new", "batch"} == set(sources(filled))
    assert filled.source == "batch"


def test_lists_of_one_call_share_no_item_and_no_product(shop: Shop) -> None:
    item_store.set_items(shop.redis, [item(1, product="p"), item(6, product="p")])
    sell(shop.redis, [3, 4, 40, 39])
    requests = [shop.request("home", name="home", k=5), shop.request("item", name="item", k=5)]
    requests.append(shop.request("best_sellers", name="best_sellers", k=2))
    first, second, third = serve(shop.store, requests, now=NOW)
    assert [one.item_id for one in first.items] == ids([1, 2, 3, 4, 5])
    assert [one.item_id for one in second.items] == ids([7, 8, 9, 10, 11])  # 6 is a variant of 1
    assert [one.item_id for one in third.items] == ids([40, 39])
    assert [answer.slot for answer in (first, second, third)] == ["home", "item", "best_sellers"]


SOLD_OUT_SHOP = 667
LEFT = 33


@pytest.mark.parametrize("away", [None, "away"])
def test_a_sell_out_starves_no_kind_that_can_fill_up(redis: Redis, away: str | None) -> None:
    shop = opened(redis, items=SOLD_OUT_SHOP, away=away)
    left = np.random.default_rng(0).choice(np.arange(1, SOLD_OUT_SHOP + 1), LEFT, replace=False).tolist()
    near = [1, 2, 3]
    similar = cache.pack(near, [0.9, 0.8, 0.7], as_of=1_000)
    cache.write_lists(redis, {cache.similar_key(MODEL, "i7"): similar})
    redis.hset("together", "i7", encode([ShopEntry(4, 1.0, 9)]))
    sell(redis, [5, 6])
    hot.record(redis, [("ann", "i9", 1)], keep=10)
    shop.sell_out([key for key in range(1, SOLD_OUT_SHOP + 1) if key not in left])
    for kind in Kind:
        if kind is Kind.RECENTLY_VIEWED:
            continue  # nothing else belongs there
        about = ("i7",) if kind in (Kind.SIMILAR, Kind.BOUGHT_TOGETHER) else ()
        category = "even" if kind is Kind.CATEGORY else ""
        can = [key for key in left if category != "even" or key % 2 == 0]
        for user in ("ann", "nobody", None):
            request = shop.request(kind, user, k=20, items=about, category=category)
            served = serve(shop.store, [request], now=NOW)[0]
            assert len(served.items) == min(20, len([key for key in can if f"i{key}" not in about])), (kind, user)
            assert {one.item_id for one in served.items} <= {f"i{key}" for key in can}


def test_what_comes_back_is_offered_at_once(shop: Shop) -> None:
    shop.sell_out([1])
    assert names(fill(shop.draft(PLAIN, k=2))) == ids([2, 3])
    shop.sell_out([])
    assert names(fill(shop.draft(PLAIN, k=2))) == ids([1, 2])


FILLED = [kind for kind in Kind if kind is not Kind.RECENTLY_VIEWED]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(st.integers(1, ITEMS)),
    st.sampled_from(FILLED),
    st.integers(1, 25),
    st.sampled_from(
        [Criteria(), Criteria(brands=("own",)), Criteria(categories=("odd",)), Criteria(without_items=("i3",))]
    ),
    st.booleans(),
)
def test_a_list_is_full_whenever_enough_items_match(
    shop: Shop, sold_out: set[int], kind: Kind, k: int, criteria: Criteria, away: bool
) -> None:
    shop.sell_out(sorted(sold_out))
    shop.ranker.away = "away" if away else None
    can = [one for one in shop.items if one.available and criteria.matches(one)]
    filled = fill(shop.draft(DEFAULT_SLOTS[kind], k=k, criteria=criteria))
    assert len(filled.chosen) == min(k, len(can))
    assert len(set(names(filled))) == len(filled.chosen)
    assert set(names(filled)) <= {one.item_id for one in can}


def test_sources_that_add_nothing_are_not_arranged_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(passed: Passed, *given: Any, **named: Any) -> list[Chosen]:
        sizes.append(len(passed.candidates))
        return arrange(passed, *given, **named)

    monkeypatch.setattr(filling, "arrange", counted)
    never = Slot(rules=RuleSet(quota=(Quota(items=Criteria(brands=("nobody",)), at_least=1),)))
    assert names(fill(shop.draft(never))) == ids([1, 2, 3, 4, 5])
    assert sizes == [LIST, ITEMS]  # the stored list and all that the ranker knows; the popular list adds nothing
