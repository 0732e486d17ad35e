import pytest
from redis import Redis

from graphstore.redis import hot
from serving.evidence import Because, Path
from serving.online.protocol import Carrier, Evidence, RankAnswer, RankRequest, SessionEvent
from serving.rules.criteria import Criteria
from serving.rules.rule_set import Boost, RuleSet
from serving.shop_lists.lists import ShopEntry, encode
from serving.slots.explained import explained
from serving.slots.fill import fill
from serving.slots.slot import Kind, Slot
from stream.events import EventType
from tests.serving.slots.small_shop import Ranker, Shop


def told(shop: Shop, slot: Slot, user: str | None = "ann", **more: object) -> list[tuple[str | None, object]]:
    draft = shop.draft(slot, user, **more)  # type: ignore[arg-type]
    return list(explained(draft, fill(draft).chosen))


def test_the_events_that_carried_the_score_are_named_with_the_path_in_the_graph(
    shop: Shop, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rank(self: Ranker, request: RankRequest) -> RankAnswer:
        self.asked.append(request)
        carrier = Carrier(item_key=9, event_type=EventType.PURCHASE, share=0.75, term="filter")
        evidence = (Evidence(item_key=1, terms={"filter": 2.0, "trend": 0.5}, carriers=(carrier,)),)
        return RankAnswer(model_version="m1", as_of=1, item_keys=[1, 2], scores=[2.5, 1.0], evidence=evidence)

    monkeypatch.setattr(Ranker, "rank", rank)
    redis.hset("together", "i9", encode([ShopEntry(1, 1.0, 14)]))
    rules = RuleSet(boost=(Boost(items=Criteria(categories=("odd",)), factor=2.0),))
    (first, evidence), (second, other) = told(shop, Slot(rules=rules), k=2)
    assert first == "you bought Item 9; 14 shoppers who bought Item 9 bought Item 1"
    assert evidence.terms == {"filter": 2.0, "trend": 0.5}  # type: ignore[attr-defined]
    assert evidence.because == [Because("i9", "Item 9", "purchase", 0.75, "filter")]  # type: ignore[attr-defined]
    assert evidence.path == Path("i9", 14)  # type: ignore[attr-defined]
    assert evidence.rules == ("boost",)  # type: ignore[attr-defined]
    assert second == "picked for you"
    assert other is not None
    asked = shop.ranker.asked[-1]
    assert (asked.candidates, asked.evidence, asked.user_id) == (("i1", "i3"), 2, "ann")


def test_without_the_ranker_the_reason_is_what_redis_shows(shop: Shop) -> None:
    shop.ranker.away = "gone"
    hot.record(shop.redis, [("ann", "i2", 1)], keep=10)
    reasons = [reason for reason, _ in told(shop, Slot(), k=3)]
    assert reasons == ["picked for you", "from your history", "picked for you"]


def test_of_a_stranger_nothing_is_asked_and_the_source_is_the_reason(shop: Shop) -> None:
    assert {reason for reason, _ in told(shop, Slot(), None, k=3)} == {"popular"}
    assert shop.ranker.asked == []
    told(shop, Slot(), None, k=3, session=(SessionEvent(item_id="i1"),))
    assert shop.ranker.asked[-1].evidence == 3


def test_lists_about_items_say_what_they_are_about(shop: Shop, redis: Redis) -> None:
    pairs = {"i1": [ShopEntry(5, 1.0, 1), ShopEntry(6, 0.5, 2)], "i2": [ShopEntry(5, 1.0, 3)]}
    redis.hset("together", mapping={name: encode(entries) for name, entries in pairs.items()})
    slot = Slot(kind=Kind.BOUGHT_TOGETHER, fallback=())
    assert [reason for reason, _ in told(shop, slot, None, items=("i1", "i2"))] == [
        "3 shoppers who bought Item 2 bought it",
        "2 shoppers who bought Item 1 bought it",
    ]
