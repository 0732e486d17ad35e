"""The doors of the lists, each as a page or a shop's server calls it."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from pydantic import SecretStr
from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import hot, item_store
from serving.config import ServingConfig
from serving.shop_lists.lists import CATEGORIES, ShopEntry, encode
from serving.web import services, signing
from stream.events import IMPRESSIONS, Impression
from tests.serving.toy import MODEL
from tests.serving.web.conftest import KEY
from tests.serving.web.test_views import Post

__all__ = ["post"]


@pytest.fixture
def post(web: Client, monkeypatch: pytest.MonkeyPatch) -> Post:
    made = Post()
    monkeypatch.setattr(services, "outbox", lambda: made)
    return made


def names(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def ask(web: Client, body: object, **more: Any) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body)
    return web.post("/recommendations/", content, content_type="application/json", **more)


DOORS = {
    "for_you": "/recommendations/ann/?slot=for_you",
    "buy_again": "/recommendations/ann/?slot=buy_again",
    "discover": "/recommendations/ann/?slot=discover",
    "similar": "/items/apple/similar/?user_id=ann&slot=similar",
    "bought_together": "/items/apple/bought-together/?user_id=ann&slot=bought_together",
    "trending": "/trending/?user_id=ann&slot=trending",
    "best_sellers": "/best-sellers/?user_id=ann&slot=best_sellers",
    "recently_viewed": "/recommendations/ann/?slot=recently_viewed",
    "category": "/categories/food/items/?user_id=ann&slot=category",
}


@pytest.mark.parametrize(("slot", "path"), DOORS.items())
def test_the_impression_of_each_kind_says_what_was_shown_where_and_why(
    web: Client, post: Post, redis: Redis, slot: str, path: str
) -> None:
    hot.record(redis, [("ann", "dates", 1)], keep=10)
    answer = web.get(path + "&k=2")
    body = answer.json()
    assert answer.status_code == 200, body
    assert (body["slot"], body["user_id"]) == (slot, "ann")
    assert body["items"]
    event = post.letters[-1].event
    assert isinstance(event, Impression)
    assert (event.request_id, event.slot, event.user_id) == (body["request_id"], slot, "ann")
    keys = ("item_id", "position", "score", "source", "propensity")
    assert [[getattr(one, key) for key in keys] for one in event.items] == [
        [one[key] for key in keys] for one in body["items"]
    ]
    assert signing.fits(body["request_id"], "ann", key=signing.key_for(signing.REQUESTS))


def test_a_list_of_nobody_is_not_logged(web: Client, post: Post) -> None:
    for path in ("/items/apple/similar/?slot=similar", "/trending/?slot=trending", "/best-sellers/"):
        assert web.get(path).json()["user_id"] == ""
    assert web.head("/trending/?slot=trending&user_id=ann").status_code == 200
    assert post.letters == []


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/recommendations/ann/?colour=red", "colour"),
        ("/recommendations/ann/?window=1h", "window"),
        ("/recommendations/ann/?category=", "category"),
        ("/recommendations/ann/?price_min=x", "price_min"),
        ("/recommendations/ann/?price_min=3&price_max=2", "price_min"),
        ("/recommendations/ann/?item=", "item"),
        ("/recommendations/ann/?cart=" + "x" * 129, "cart"),
        ("/recommendations/ann/?session=a%00b", "session"),
        ("/items/apple/similar/?item=bread", "item"),
        ("/items/apple/similar/?slot=home", "slot"),
        ("/items/apple/similar/?user_id=", "user_id"),
        ("/items/apple/bought-together/?slot=similar", "slot"),
        ("/items/apple/bought-together/?colour=red", "colour"),
        ("/trending/?session=apple", "session"),
        ("/trending/?window=2h", "window"),
        ("/best-sellers/?window=", "window"),
        ("/best-sellers/?confirmed=1", "confirmed"),
        ("/categories/?k=3", "k"),
        ("/categories/food/items/?category=food", "category"),
        ("/categories/" + "x" * 1025 + "/items/", "category"),
        ("/categories/a%00b/items/", "category"),
    ],
)
def test_what_a_door_does_not_know_or_take_is_named(web: Client, path: str, field: str) -> None:
    answer = web.get(path)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_criteria_and_cart_decide_what_is_in_the_list(web: Client, redis: Redis) -> None:
    item_store.set_items(redis, [Item(12, "bread", categories=["Bread, rolls"], brand="Own", price=9.0)])
    assert names(web.get("/recommendations/ann/?category=Bread%2C%20rolls").json()) == ["bread"]
    assert names(web.get("/recommendations/ann/?brand=Own&brand=Other").json()) == ["bread"]
    assert names(web.get("/recommendations/ann/?price_min=2").json()) == ["bread"]
    assert "elder" not in names(web.get("/recommendations/ann/?without=elder").json())
    assert "elder" not in names(web.get("/recommendations/ann/?cart=elder").json())
    assert set(names(web.get("/recommendations/ann/?item=bread&item=dates").json())) == {"bread", "dates"}


def test_a_slot_has_a_length_of_its_own(web: Client, settings: LazySettings, tmp_path: Path) -> None:
    path = tmp_path / "slots.toml"
    path.write_text('[home]\nlength = 2\n[basket]\nkind = "similar"\nlength = 1\nfallback = []')
    services.close()
    settings.SERVING = ServingConfig(api_key=SecretStr(KEY), slots_file=path, ranker_url="")
    assert len(web.get("/recommendations/ann/?slot=home").json()["items"]) == 2
    assert len(web.get("/recommendations/ann/?slot=home&k=4").json()["items"]) == 4
    assert names(web.get("/items/apple/similar/?slot=basket").json()) == ["bread"]
    assert names(web.get("/recommendations/ann/?slot=basket&item=bread").json()) == ["cheese"]


def test_similar_and_bought_together(web: Client, redis: Redis) -> None:
    redis.hset("together", "apple", encode([ShopEntry(15, 1.0, 7)]))
    body = web.get("/items/apple/similar/?k=1").json()
    assert (body["model_version"], names(body), body["source"]) == (MODEL, ["bread"], "similar")
    body = web.get("/items/apple/bought-together/?k=1&explain=1").json()
    assert (names(body), body["items"][0]["reason"]) == (["elder"], "7 shoppers who bought Apple bought it")
    answer = web.get("/items/ghost/similar/")
    assert (answer.status_code, answer.json()["detail"]) == (404, "no item 'ghost'")


def test_trending_and_best_sellers(web: Client, redis: Redis) -> None:
    hot.set_trending(redis, "1h", {"bread": 3.0})
    body = web.get("/trending/?window=1h&k=2").json()
    assert [item["source"] for item in body["items"]] == ["trending", "popular"]
    assert body["items"][0]["item_id"] == "bread"
    redis.hset("best:7d", "food", encode([ShopEntry(14, 1.0, 7)]))
    assert names(web.get("/best-sellers/?category=food&window=7d&k=1").json()) == ["dates"]


def test_the_categories_of_the_shop(web: Client, redis: Redis) -> None:
    redis.zadd(CATEGORIES, {"food": 5, "toys": 9})
    body = web.get("/categories/").json()
    assert body == {"categories": [{"category": "toys", "items": 9}, {"category": "food", "items": 5}]}
    assert len(names(web.get("/categories/food/items/?k=3").json())) == 3
    assert names(web.get("/categories/toys/items/").json()) == []


def test_several_lists_at_once_share_no_item_and_are_logged(web: Client, post: Post) -> None:
    slots = [{"slot": "home", "k": 2}, {"slot": "item", "k": 2}, {"slot": "best_sellers", "k": 5}]
    answer = ask(web, {"user_id": "ann", "slots": slots})
    lists = answer.json()["lists"]
    assert answer.status_code == 200
    assert [names(one) for one in lists.values()] == [["elder", "apple"], ["bread", "cheese"], ["dates"]]
    assert list(lists) == ["home", "item", "best_sellers"]
    assert len({one["request_id"] for one in lists.values()}) == 3
    assert [letter.topic for letter in post.letters] == [IMPRESSIONS] * 3
    assert [letter.event.slot for letter in post.letters] == list(lists)  # type: ignore[attr-defined]


def test_a_stranger_may_not_ask_for_many_lists_again_and_again(
    web: Client, post: Post, settings: LazySettings, key: dict[str, str]
) -> None:
    settings.SERVING = settings.SERVING.model_copy(update={"requests_per_second": 1.0})
    body = {"slots": ["home", "item", "cart", "search"]}
    stranger = {"content_type": "application/json", "REMOTE_ADDR": "203.0.113.7"}
    answers = [web.post("/recommendations/", body, **stranger) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1]["Retry-After"] == "2"
    assert web.post("/recommendations/", body, headers=key, **stranger).status_code == 200


def test_a_session_without_an_id_is_answered_and_nothing_is_stored(web: Client, post: Post, redis: Redis) -> None:
    before = set(redis.keys())
    session = [{"item_id": "apple", "event_type": "cart", "event_time": "2099-01-01T00:00:00Z"}, {"item_id": "bread"}]
    lists = ask(web, {"session": session, "cart": ["cheese"], "slots": ["home", "recently_viewed"]}).json()["lists"]
    assert {one["user_id"] for one in lists.values()} == {""}
    assert "cheese" not in names(lists["home"])
    assert "ranker away" in lists["home"]["degraded"]
    assert lists["recently_viewed"]["items"] == []  # both are in the list before
    assert post.letters == []
    assert set(redis.keys()) == before


def test_items_are_what_lists_about_items_are_about_or_else_what_is_ranked(web: Client) -> None:
    body = {"user_id": "ann", "items": ["apple"], "slots": [{"slot": "similar", "k": 2}, {"slot": "home", "k": 2}]}
    lists = ask(web, body).json()["lists"]
    assert names(lists["similar"]) == ["bread", "cheese"]
    assert names(lists["home"]) == ["elder", "apple"]
    lists = ask(web, {"user_id": "ann", "items": ["apple", "dates"], "slots": ["search"]}).json()["lists"]
    assert names(lists["search"]) == ["apple", "dates"]


def test_criteria_and_context_of_the_body(web: Client, redis: Redis) -> None:
    item_store.set_items(redis, [Item(12, "bread", categories=["bread"], price=9.0)])
    body = {"user_id": "ann", "context": {"category": "bread"}, "slots": ["category"]}
    assert names(ask(web, body).json()["lists"]["category"]) == ["bread"]
    body = {"user_id": "ann", "criteria": {"price_min": 2}, "slots": ["home", {"slot": "item", "criteria": {}, "k": 1}]}
    assert [names(one) for one in ask(web, body).json()["lists"].values()] == [["bread"], ["elder"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", ""),
        (b"[]", ""),
        (b"[" * 100_000, ""),
        ({"slots": []}, "slots"),
        ({}, "slots"),
        ({"slots": ["nowhere"]}, "slot"),
        ({"slots": ["home", "home"]}, "slots"),
        ({"slots": ["home"], "colour": "red"}, "colour"),
        ({"slots": ["home"], "user_id": ""}, "user_id"),
        ({"slots": ["home"], "user_id": "a\0b"}, "user_id"),
        ({"slots": ["home"], "cart": ["a\0b"]}, "cart"),
        ({"slots": ["home"], "session": [{"item_id": "a\0b"}]}, "session"),
        ({"slots": ["home"], "session": [{"item_id": "a", "event_type": "stare"}]}, "session"),
        ({"slots": ["home"], "session": [{"item_id": "a", "event_time": "2026-01-01T00:00:00"}]}, "session"),
        ({"slots": ["home"], "criteria": {"price_min": 3, "price_max": 2}}, "criteria"),
        ({"slots": ["home"], "criteria": {"colour": "red"}}, "colour"),
        ({"slots": [{"slot": "home", "k": 0}]}, "slots"),
        ({"slots": ["home"], "criteria": {"attributes": {"a": ["x\0"]}}}, "criteria"),
        ({"slots": ["home"], "context": {"category": "\0"}}, "context"),
        ({"slots": [{"slot": "home", "items": ["a\0b"]}]}, "slots"),
        ({"slots": ["category"], "context": {"category": ""}}, "context"),
        ({"slots": ["home"], "confirmed": True}, "confirmed"),
    ],
)
def test_a_body_that_asks_for_no_lists_is_refused_with_its_field(web: Client, body: object, field: str) -> None:
    answer = ask(web, body)
    assert (answer.status_code, answer.json().get("field")) == (400, field), answer.json()


def test_a_browser_may_ask_with_plain_text_and_other_types_are_415(web: Client) -> None:
    content = json.dumps({"slots": ["home"]})
    assert web.post("/recommendations/", content, content_type="text/plain").status_code == 200
    assert web.post("/recommendations/", content, content_type="application/xml").status_code == 415
    assert web.post("/recommendations/?k=3", content, content_type="application/json").json()["field"] == "k"
    assert web.get("/recommendations/").status_code == 405


def test_with_the_key_the_lists_of_a_body_are_confirmed(web: Client, post: Post, key: dict[str, str]) -> None:
    ask(web, {"user_id": "ann", "slots": ["home"]}, headers=key)
    ask(web, {"user_id": "ann", "slots": ["home"], "confirmed": False}, headers=key)
    ask(web, {"user_id": "ann", "slots": ["home"]})
    assert [letter.event.confirmed for letter in post.letters] == [True, False, False]  # type: ignore[attr-defined]
