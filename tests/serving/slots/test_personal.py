import math

import pytest

from graphstore.redis import hot
from serving.online.protocol import SessionEvent
from serving.slots.fill import fill
from serving.slots.personal import buy_again, discover, for_you, recently_viewed
from serving.slots.slot import Kind, Slot
from stream.events import EventType
from tests.serving.slots.small_shop import DAY_MS, NOW_MS, Shop, ids

ALONE = {kind: Slot(kind=kind, fallback=()) for kind in Kind}
"""Each kind without fallbacks."""


def shown(shop: Shop, kind: Kind, user: str | None = "ann", **more: object) -> list[str]:
    return [one.candidate.item.item_id for one in fill(shop.draft(ALONE[kind], user, **more)).chosen]  # type: ignore[arg-type]


def test_a_stranger_gets_the_popular_list_and_the_ranker_is_not_asked(shop: Shop) -> None:
    assert shown(shop, Kind.FOR_YOU, "nobody") == ids([40, 39, 38, 37, 36])
    assert shown(shop, Kind.FOR_YOU, None) == ids([40, 39, 38, 37, 36])
    assert shop.ranker.asked == []


def test_a_session_without_an_id_is_ranked_now(shop: Shop) -> None:
    session = (SessionEvent(item_id="i1"), SessionEvent(item_id="i2", event_type=EventType.CART))
    draft = shop.draft(ALONE[Kind.FOR_YOU], None, session=session)
    filled = fill(draft)
    assert [one.candidate.source for one in filled.chosen] == ["online"] * 5
    assert (filled.source, draft.degraded) == ("online", None)
    asked = shop.ranker.asked[0]
    assert (asked.user_id, asked.session, asked.known) == (None, session, None)


def test_a_cart_is_ranked_now_and_its_items_are_not_offered(shop: Shop) -> None:
    assert shown(shop, Kind.FOR_YOU, cart=("i40", "i38")) == ids([39, 37, 36, 35, 34])
    asked = shop.ranker.asked[0]
    assert asked.user_id == "ann"
    assert [(event.item_id, event.event_type) for event in asked.session] == [("i40", "cart"), ("i38", "cart")]
    assert set(asked.without) == {"i40", "i38"}


def test_with_the_ranker_away_the_stored_list_answers_and_the_session_lifts_its_category(shop: Shop) -> None:
    shop.ranker.away = "gone"
    session = tuple(SessionEvent(item_id=f"i{key}") for key in (32, 34, 36))
    draft = shop.draft(ALONE[Kind.FOR_YOU], session=session)
    filled = fill(draft)
    assert draft.degraded == "ranker away: gone"
    keys = [one.candidate.item.item_key for one in filled.chosen]
    assert keys[0] == 2  # three clicks on even items put the first even one before the first of all
    assert {one.candidate.source for one in filled.chosen} == {"batch"}


def test_given_items_are_put_into_the_order_of_the_shopper_and_nothing_is_added(shop: Shop) -> None:
    given = ("i3", "i33", "ghost", "i5")
    assert shown(shop, Kind.FOR_YOU, items=given) == ids([33, 5, 3])
    assert shop.ranker.asked[0].candidates == given
    shop.ranker.away = "gone"
    assert shown(shop, Kind.FOR_YOU, items=("i35", "i5", "i3")) == ids([3, 5, 35])  # the stored list knows two of them
    assert shown(shop, Kind.FOR_YOU, "nobody", items=("i3", "i5"), k=2) == ids([3, 5])  # as given


def test_to_discover_is_to_see_nothing_known(shop: Shop) -> None:
    hot.record(shop.redis, [("ann", "i1", 1), ("ann", "i3", 2)], keep=10)
    assert shown(shop, Kind.DISCOVER) == ids([2, 4, 5, 6, 7])
    assert shop.ranker.asked == []
    assert shown(shop, Kind.DISCOVER, session=(SessionEvent(item_id="i40"),)) == ids([39, 38, 37, 36, 35])
    assert shop.ranker.asked[0].known is False
    shop.ranker.away = "gone"
    assert shown(shop, Kind.DISCOVER, session=(SessionEvent(item_id="i2"),)) == ids([4, 5, 6, 7, 8])


def test_what_is_due_is_offered_again_in_the_order_of_the_stored_list(shop: Shop) -> None:
    days = {"i1": 1, "i2": 30, "i3": 12}
    for item_id, ago in days.items():
        shop.redis.zadd(hot.bought_key("ann"), {item_id: NOW_MS - ago * DAY_MS})
    shop.redis.hset("repurchase", mapping={"odd": 10.0, "even": 10.0})
    assert shown(shop, Kind.BUY_AGAIN) == ["i2", "i3"]  # as in the list, though i3 was bought later
    assert shown(shop, Kind.BUY_AGAIN, "nobody") == []
    assert shown(shop, Kind.FOR_YOU, k=3) == ["i2", "i3", "i4"]  # the first is not due


def test_what_no_list_has_is_offered_again_the_likeliest_of_the_next_visit_first(shop: Shop) -> None:
    for item_id, ago in {"i1": 1, "i2": 30, "i3": 12}.items():
        shop.redis.zadd(hot.bought_key("bob"), {item_id: NOW_MS - ago * DAY_MS})
    shop.redis.hset("repurchase", mapping={"odd": 10.0, "even": 10.0})
    assert shown(shop, Kind.BUY_AGAIN, "bob") == ["i3", "i2"]


def test_what_was_looked_at_last_comes_first_and_the_session_before_all(shop: Shop) -> None:
    hot.record(shop.redis, [("ann", "i5", 5), ("ann", "i6", 6), ("ann", "gone", 7)], keep=10)
    session = (SessionEvent(item_id="i8"), SessionEvent(item_id="i5"))
    assert shown(shop, Kind.RECENTLY_VIEWED) == ["i6", "i5"]
    assert shown(shop, Kind.RECENTLY_VIEWED, session=session) == ["i5", "i8", "i6"]
    assert shown(shop, Kind.RECENTLY_VIEWED, None, session=session) == ["i5", "i8"]
    (batch,) = recently_viewed(shop.draft(ALONE[Kind.RECENTLY_VIEWED]))
    assert [one.score for one in batch.candidates] == pytest.approx(
        [-math.log(2), -math.log(3)]
    )  # the first place has vanished


def test_no_kind_reads_more_than_the_list_needs(shop: Shop) -> None:
    for kind, propose in {Kind.FOR_YOU: for_you, Kind.DISCOVER: discover, Kind.BUY_AGAIN: buy_again}.items():
        next(propose(shop.draft(ALONE[kind])))
    assert shop.ranker.asked == []
