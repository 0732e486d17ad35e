import math

from graphstore.redis import hot
from serving.rules.criteria import Criteria
from serving.slots.fill import fill
from serving.slots.slot import Kind, Slot
from tests.serving.slots.small_shop import Shop, ids, sell

TRENDING = Slot(kind=Kind.TRENDING, fallback=())
BEST = Slot(kind=Kind.BEST_SELLERS, fallback=())
CATEGORY = Slot(kind=Kind.CATEGORY, fallback=())


def shown(shop: Shop, slot: Slot, user: str | None = None, **more: object) -> list[tuple[str, str]]:
    chosen = fill(shop.draft(slot, user, **more)).chosen  # type: ignore[arg-type]
    return [(one.candidate.item.item_id, one.candidate.source) for one in chosen]


def names(shop: Shop, slot: Slot, user: str | None = None, **more: object) -> list[str]:
    return [name for name, _ in shown(shop, slot, user, **more)]


def test_what_rises_comes_before_what_has_most_events(shop: Shop) -> None:
    sell(shop.redis, [7, 3], rising=True)
    hot.set_trending(shop.redis, "24h", {"i3": 90.0, "i1": 50.0})
    assert names(shop, TRENDING) == ids([7, 3, 1])


def test_where_nothing_rises_the_score_is_the_log_of_the_events(shop: Shop) -> None:
    hot.set_trending(shop.redis, "1h", {"i3": 9.0, "i1": 5.0})
    chosen = fill(shop.draft(TRENDING, None, window="1h")).chosen
    assert [(one.candidate.item.item_id, one.score) for one in chosen] == [("i3", math.log(10)), ("i1", math.log(6))]
    assert names(shop, TRENDING) == []  # of 24h nothing is known


def test_best_sellers_of_longer_windows_follow_then_the_popular_list_then_the_catalogue(shop: Shop) -> None:
    sell(shop.redis, [7, 3])
    sell(shop.redis, [3, 4], window="7d")
    found = shown(shop, BEST, k=36)
    assert found[:4] == [("i7", "best_sellers"), ("i3", "best_sellers"), ("i4", "best_sellers"), ("i40", "popular")]
    assert found[-1] == ("i8", "catalogue")
    assert [name for name, source in found if source == "catalogue"] == ids([10, 9, 8])  # the newest that are left
    sell(shop.redis, [9], window="1h")
    assert names(shop, BEST, window="7d", k=2) == ids([3, 4])


def test_best_sellers_of_a_category_come_from_its_own_list(shop: Shop) -> None:
    sell(shop.redis, [7, 3])
    sell(shop.redis, [8, 2], category="even")
    assert names(shop, BEST, category="even", k=3) == ids([8, 2, 40])
    assert names(shop, BEST, criteria=Criteria(categories=("even",)), k=3) == ids([8, 2, 40])
    slot = Slot(kind=Kind.BEST_SELLERS, category="even", fallback=())
    assert names(shop, slot, k=3) == ids([8, 2, 40])
    assert names(shop, slot, category="odd", k=1) != ids([8])  # what the request says goes first


def test_a_category_is_ranked_now(shop: Shop) -> None:
    assert names(shop, CATEGORY, "ann", category="odd", k=3) == ids([39, 37, 35])
    assert shop.ranker.asked[0].criteria == (Criteria(categories=("odd",)),)
    shop.ranker.away = "gone"
    draft = shop.draft(CATEGORY, "ann", category="odd", k=3)
    assert [one.candidate.item.item_key for one in fill(draft).chosen] == [1, 3, 5]
    assert draft.degraded == "ranker away: gone"


def test_when_the_ranker_has_named_all_that_match_nobody_looks_further(shop: Shop) -> None:
    draft = shop.draft(Slot(), criteria=Criteria(categories=("none",)))
    assert fill(draft).chosen == []
    assert draft.exhausted
    draft = shop.draft(Slot(), criteria=Criteria(brands=("own",)), k=4)
    assert len(fill(draft).chosen) == 4
