import math
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY
from redis import Redis
from redis.exceptions import RedisError

from graphstore.catalogue import Item
from graphstore.redis import hot, item_store
from graphstore.redis.connection import open_redis
from serving import cache, recommend
from serving.exploration import propensities
from serving.online.protocol import SessionEvent
from serving.recommend import NothingPublished, Recommendation, Storefront, UnknownItem, serve
from serving.routing import ROUTING, Arm, Exploration, Routing, Split, encode, probation
from serving.slots.defaults import DEFAULT_SLOTS
from serving.slots.request import ListRequest
from stream.events import utc
from tests.serving.toy import MODEL, fill_redis

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def store(redis: Redis) -> Storefront:
    fill_redis(redis)
    return Storefront.open(redis, pointer_seconds=0, item_seconds=0)


def ask(store: Storefront, user: str, k: int = 3, *, explained: bool = False) -> Recommendation:
    return recommend.recommendations(store, user, k=k, explained=explained, now=NOW)


def names(served: Recommendation) -> list[str]:
    return [item.item_id for item in served.items]


def test_the_published_list_is_served(store: Storefront) -> None:
    served = ask(store, "ann")
    assert names(served) == ["elder", "apple", "bread"]
    assert (served.source, served.model_version, served.variant) == ("batch", MODEL, "champion")
    assert served.as_of == utc(1_000)
    assert [item.position for item in served.items] == [0, 1, 2]
    assert [item.score for item in served.items] == [5.0, 4.0, 3.0]
    assert served.items[0].title == "Elder"
    assert served.items[0].reason is None
    assert served.request_id != ask(store, "ann").request_id


def test_a_newer_near_line_list_overlays_it(store: Storefront) -> None:
    cache.write_lists(store.redis, {cache.near_key(MODEL, "ann"): cache.pack([14], [1], as_of=2_000)})
    served = ask(store, "ann")
    assert (served.source, names(served), served.as_of) == ("nearline", ["dates", "apple", "bread"], utc(2_000))
    assert [item.source for item in served.items] == ["nearline", "popular", "popular"]  # the short list is filled


def test_a_newer_publication_overlays_near_line(store: Storefront) -> None:
    cache.write_lists(store.redis, {cache.near_key(MODEL, "ann"): cache.pack([14], [1], as_of=500)})
    assert ask(store, "ann").source == "batch"


def test_another_models_near_line_list_is_not_looked_at(store: Storefront) -> None:
    cache.write_lists(store.redis, {cache.near_key("m0", "ann"): cache.pack([14], [1], as_of=9_000)})
    assert ask(store, "ann").source == "batch"


def test_a_share_of_the_shoppers_stays_with_the_previous_model(store: Storefront) -> None:
    previous = {cache.recs_key("m0", "ann"): cache.pack([14], [1], as_of=9_000)}
    previous[cache.popular_key("m0")] = cache.pack([13], [1], as_of=9_000)
    cache.write_lists(store.redis, previous)
    cache.write_lists(store.redis, {cache.similar_key("m0", "elder"): cache.pack([14], [1], as_of=9_000)})
    hot.record(store.redis, [("ann", "elder", 1)], keep=10)
    store.redis.set(ROUTING, encode(Routing((probation("m0", 1.0, salt="s"),), MODEL)))
    served = ask(store, "ann", explained=True)
    assert (served.model_version, served.variant) == ("m0", "previous")
    assert names(served) == ["dates", "cheese", "elder"]  # a short list is filled
    assert served.items[0].reason == "goes with Elder"
    assert names(ask(store, "nobody"))[0] == "cheese"
    store.redis.delete(cache.popular_key("m0"))  # a model without any list
    assert (ask(store, "ann").model_version, ask(store, "ann").variant) == (MODEL, "champion")


def test_an_experiment_serves_its_slot_only(store: Storefront) -> None:
    cache.write_lists(store.redis, {cache.popular_key("m0"): cache.pack([13], [1], as_of=9_000)})
    split = Split("e", "s", (Arm("other", 1.0, "m0"),), slot="home")
    store.redis.set(ROUTING, encode(Routing((split,), MODEL)))
    shown = recommend.recommendations(store, "ann", k=3, explained=False, now=NOW, slot="home")
    assert (shown.variant, shown.model_version) == ("e/other", "m0")
    assert ask(store, "ann").variant == "champion"


def test_a_stranger_gets_the_popular_list(store: Storefront) -> None:
    served = ask(store, "nobody", 2)
    assert (served.source, names(served)) == ("popular", ["apple", "bread"])


def test_what_cannot_be_bought_makes_room_for_the_next(store: Storefront) -> None:
    item_store.set_items(store.redis, [Item(15, "elder", available=False)])
    store.redis.delete(item_store.item_key("bread"))
    assert names(ask(store, "ann")) == ["apple", "cheese", "dates"]
    assert [item.position for item in ask(store, "ann").items] == [0, 1, 2]


def test_a_list_of_vanished_items_falls_back_to_popular(store: Storefront) -> None:
    cache.write_lists(store.redis, {cache.recs_key(MODEL, "bob"): cache.pack([99], [1], as_of=1)})
    assert ask(store, "bob").source == "popular"


def test_reasons_are_given_where_asked(store: Storefront) -> None:
    hot.record(store.redis, [("ann", "elder", 1)], keep=10)
    assert [item.reason for item in ask(store, "ann", explained=True).items] == [
        "from your history",
        "goes with Elder",
        "goes with Elder",
    ]


def test_a_stranger_is_not_told_that_it_was_picked_for_them(store: Storefront) -> None:
    assert {item.reason for item in ask(store, "nobody", explained=True).items} == {"popular"}


def test_nothing_published_is_said(redis: Redis) -> None:
    store = Storefront.open(redis, pointer_seconds=0, item_seconds=0)
    with pytest.raises(NothingPublished, match="recs:champion"):
        ask(store, "ann")
    redis.set(cache.CHAMPION, MODEL)
    with pytest.raises(NothingPublished, match=MODEL):
        ask(store, "ann")


def test_a_redis_that_is_away_is_an_error_and_not_a_list() -> None:
    away = open_redis("redis://127.0.0.1:1/0", timeout_seconds=0.2)
    with pytest.raises(RedisError):
        ask(Storefront.open(away, pointer_seconds=0, item_seconds=0), "ann")


def test_an_unknown_item_is_named(store: Storefront) -> None:
    recommend.check_item(store, "apple")
    with pytest.raises(UnknownItem, match="ghost"):
        recommend.check_item(store, "ghost")


def test_a_slot_that_needs_no_model_is_served_before_the_first_one(store: Storefront) -> None:
    store.redis.delete(cache.CHAMPION)
    hot.set_trending(store.redis, "24h", {"dates": 4.0})
    served = serve(store, [ListRequest(slot=DEFAULT_SLOTS["trending"], name="trending", k=3, user_id="ann")], now=NOW)[
        0
    ]
    assert (served.model_version, served.variant, served.slot) == ("", "champion", "trending")
    assert (served.items[0].item_id, served.items[0].source) == ("dates", "trending")
    assert served.items[0].score == pytest.approx(math.log(5))
    with pytest.raises(NothingPublished):
        serve(store, [ListRequest(slot=DEFAULT_SLOTS["similar"], k=3, items=("apple",))], now=NOW)


def test_a_session_that_nobody_stores_gets_the_champion_and_no_exploration(store: Storefront) -> None:
    explore(store, Exploration(temperature=100.0))
    for number in range(5):
        request = ListRequest(slot=DEFAULT_SLOTS["home"], name="home", k=3, request_id=f"r{number}")
        served = serve(store, [request], now=NOW)[0]
        assert (served.user_id, served.variant, names(served)) == ("", "champion", ["apple", "bread", "cheese"])


def test_a_list_that_lacks_the_ranker_says_so_and_is_counted(store: Storefront) -> None:
    before = degraded("for_you")
    request = ListRequest(k=3, user_id="ann", session=(SessionEvent(item_id="bread"),))
    served = serve(store, [request], now=NOW)[0]
    assert served.degraded is not None
    assert "ranker away" in served.degraded
    assert (served.source, len(served.items)) == ("batch", 3)
    assert degraded("for_you") == before + 1
    assert ask(store, "ann").degraded is None


def degraded(kind: str) -> float:
    return REGISTRY.get_sample_value("sagestream_degraded_lists_total", {"kind": kind}) or 0.0


def explore(store: Storefront, how: Exploration) -> None:
    """All shoppers of the slot home are in one arm with these settings."""
    split = Split("try", "salt", (Arm("wide", 1.0, None, how),), "home")
    store.redis.set(ROUTING, encode(Routing((split,), MODEL)))


def shown_to(store: Storefront, user: str, request_id: str, *, k: int = 3, slot: str | None = "home") -> Recommendation:
    return recommend.recommendations(store, user, k=k, explained=False, now=NOW, slot=slot, request_id=request_id)


def test_a_slot_that_does_not_explore_shows_each_item_with_certainty(store: Storefront) -> None:
    explore(store, Exploration())
    assert {(item.source, item.propensity) for item in shown_to(store, "ann", "r").items} == {("batch", 1.0)}


def test_an_explored_list_is_drawn_from_all_of_the_list_and_says_its_propensities(store: Storefront) -> None:
    how = Exploration(temperature=2.0)
    explore(store, how)
    order = ["elder", "apple", "bread", "cheese", "dates"]  # the list of ann, with scores 5 to 1
    seen = set()
    for number in range(40):
        served = shown_to(store, "ann", f"r{number}")
        assert served == shown_to(store, "ann", f"r{number}")  # a request draws once
        assert (served.variant, served.source) == ("try/wide", "batch")
        assert [item.position for item in served.items] == [0, 1, 2]
        assert [item.score for item in served.items] == [5.0 - order.index(item.item_id) for item in served.items]
        choices = [order.index(item.item_id) for item in served.items]
        law = propensities([5.0, 4.0, 3.0, 2.0, 1.0], 0, how, choices)
        assert [item.propensity for item in served.items] == pytest.approx(law)
        seen.update(names(served))
    assert seen == set(order)


def test_new_items_come_with_their_share(store: Storefront) -> None:
    item_store.set_items(store.redis, [Item(90, "newest", title="Newest"), Item(91, "away", available=False)])
    explore(store, Exploration(new_items=0.5))
    items = [item for number in range(200) for item in shown_to(store, "ann", f"r{number}", k=1).items]
    assert {(item.item_id, item.source, item.propensity, item.score) for item in items} == {
        ("elder", "batch", 0.5, 5.0),
        ("newest", "new", 0.5, 0.0),  # the others are in the list
    }
    assert 70 < sum(item.source == "new" for item in items) < 130


def test_strangers_are_explored_too(store: Storefront) -> None:
    explore(store, Exploration(temperature=100.0))
    firsts = {shown_to(store, "nobody", f"r{number}", k=2).items[0].item_id for number in range(60)}
    assert firsts == {"apple", "bread", "cheese", "dates", "elder"}


def test_only_a_list_that_is_shown_in_the_slot_is_explored(store: Storefront) -> None:
    explore(store, Exploration(temperature=100.0))
    for slot in (None, "cart"):
        for number in range(10):
            served = shown_to(store, "ann", f"r{number}", slot=slot)
            assert names(served) == ["elder", "apple", "bread"]
            assert {item.propensity for item in served.items} == {1.0}
