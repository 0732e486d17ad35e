"""The calls of Gorse's published clients (PyGorse, gorse-go), answered in the shapes that they read."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import SecretStr
from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import errands, hot, item_store
from serving.config import ServingConfig
from serving.web import services
from serving.web.outbox import NotDelivered
from stream.events import CATALOG, CATALOG_CHANGES, IMPRESSIONS, INTERACTIONS, MAX_ATTRIBUTES, USERS, ItemChange
from tests.serving.web.conftest import KEY
from tests.serving.web.test_views import Post

TIME = "2026-01-05T12:00:00Z"
ITEM = {
    "ItemId": "100",
    "IsHidden": False,
    "Labels": ["a", "b", "c"],
    "Categories": ["d", "e"],
    "Timestamp": TIME,
    "Comment": "A comment",
}


class Shop:
    """A client that sends what the published ones send: the key in `X-API-Key`, a body as JSON."""

    def __init__(self, web: Client, key: str = KEY) -> None:
        self._web, self._key = web, key

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        raw = b"" if body is None else json.dumps(body).encode()
        headers = {"X-API-Key": self._key}
        return self._web.generic(method, path, raw, content_type="application/json", headers=headers)


@pytest.fixture
def shop(web: Client, post: Post, settings: LazySettings) -> Shop:
    settings.SERVING = ServingConfig(api_key=SecretStr(KEY), admin_keys=SecretStr(KEY))
    return Shop(web)


def test_insert_feedback(shop: Shop, post: Post) -> None:
    one = {"FeedbackType": "read", "UserId": "ann", "ItemId": "apple", "Timestamp": TIME}
    answer = shop("POST", "/api/feedback", [one, {**one, "FeedbackType": "like"}, {**one, "FeedbackType": "buy"}])
    assert (answer.status_code, answer.json()) == (200, {"RowAffected": 3})
    events = [letter.event for letter in post.letters]
    assert [(event.event_type, event.value) for event in events] == [
        ("view", None), ("rating", 5.0), ("purchase", None),
    ]  # fmt: skip
    assert {letter.topic for letter in post.letters} == {INTERACTIONS}
    assert events[0].event_time == datetime(2026, 1, 5, 12, tzinfo=UTC)
    shop("PUT", "/api/feedback", [one, {**one, "Timestamp": "2026-01-06 12:00:00"}])
    again, later = (letter.event for letter in post.letters[3:])
    assert again.event_id == events[0].event_id != later.event_id  # sent twice it counts once


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"FeedbackType": "stare"}, "FeedbackType"),
        ({"Timestamp": "yesterday"}, "Timestamp"),
        ({"ItemId": 7}, "ItemId"),
        ({"Colour": "red"}, "Colour"),
        ({"UserId": ""}, ""),
        ({"Timestamp": "1980-01-01T00:00:00Z"}, ""),
    ],
)
def test_feedback_is_taken_whole_or_not_at_all(shop: Shop, post: Post, change: dict[str, object], field: str) -> None:
    good = {"FeedbackType": "read", "UserId": "ann", "ItemId": "apple", "Timestamp": TIME}
    answer = shop("POST", "/api/feedback", [good, {**good, **change}])
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert post.letters == []


def test_insert_get_and_delete_an_item(shop: Shop, post: Post, redis: Redis) -> None:
    assert shop("POST", "/api/item", ITEM).json() == {"RowAffected": 1}
    (letter,) = post.letters
    entry = letter.event
    assert (letter.topic, entry.title, entry.categories, entry.available) == (CATALOG, "A comment", ["d", "e"], True)
    item_store.set_items(
        redis, [Item(31, "100", entry.title, entry.categories, attributes=entry.attributes)]
    )  # as the worker
    assert shop("GET", "/api/item/100").json() == ITEM
    assert shop("DELETE", "/api/item/100").json() == {"RowAffected": 1}
    assert (post.letters[1].key, post.letters[1].event) == ("100", None)
    item_store.set_items(redis, [Item(31, "100", available=False)])
    assert shop("GET", "/api/item/100").status_code == 404


@pytest.mark.parametrize("labels", [None, ["x"], {"genre": "tea", "grams": 100, "organic": True}])
def test_labels_come_back_as_they_were_sent(shop: Shop, post: Post, redis: Redis, labels: Any) -> None:
    shop("POST", "/api/items", [{**ITEM, "Labels": labels}])
    item_store.set_items(redis, [Item(31, "100", attributes=post.letters[0].event.attributes)])
    assert shop("GET", "/api/item/100").json()["Labels"] == labels


def test_a_patch_replaces_as_many_labels_as_an_item_may_have(shop: Shop, post: Post, redis: Redis) -> None:
    known = {f"label.old {number}": True for number in range(MAX_ATTRIBUTES)}
    item_store.set_items(redis, [Item(9, "100", attributes=known)])
    labels = [f"new {number}" for number in range(MAX_ATTRIBUTES)]
    patched = shop("PATCH", "/api/item/100", {"Comment": "Tea", "Labels": labels})
    assert (patched.status_code, patched.json()) == (200, {"RowAffected": 1})
    events = [letter.event for letter in post.letters]
    assert all(isinstance(event, ItemChange) for event in events)
    assert {letter.key for letter in post.letters} == {"100"}
    attributes = {name: value for event in events for name, value in event.attributes.items()}  # type: ignore[union-attr]
    assert attributes == dict.fromkeys(known) | {f"label.{name}": True for name in labels}
    assert [event.fields() for event in events] == [{"title": "Tea"}, {}]  # type: ignore[union-attr]
    post.letters.clear()
    too_many = shop("PATCH", "/api/item/100", {"Labels": [*labels, "one more"]})
    assert (too_many.status_code, too_many.json()["field"], post.letters) == (400, "Labels", [])


def test_a_patch_changes_what_is_not_null(shop: Shop, post: Post, redis: Redis) -> None:
    item_store.set_items(redis, [Item(31, "100", attributes={"label.old": True, "timestamp": TIME})])
    nothing: dict[str, object] = dict.fromkeys(["Categories", "Comment", "IsHidden", "Labels", "Timestamp"])
    assert shop("PATCH", "/api/item/100", {**nothing, "IsHidden": True, "Labels": ["new"]}).json() == {"RowAffected": 1}
    (letter,) = post.letters
    assert (letter.topic, letter.event.fields()) == (CATALOG_CHANGES, {"available": False})
    assert letter.event.attributes == {"label.old": None, "label.new": True}  # Gorse replaces all labels
    assert shop("PATCH", "/api/item/100", nothing).json() == {"RowAffected": 0}


def test_insert_users_and_forget_one(shop: Shop, post: Post, redis: Redis) -> None:
    user = {"UserId": "100", "Labels": ["a"], "Subscribe": ["news"], "Comment": "vip"}
    assert shop("POST", "/api/user", user).json() == {"RowAffected": 1}
    assert shop("POST", "/api/users", [{"UserId": "101", "Labels": None}]).json() == {"RowAffected": 1}
    assert [(letter.topic, letter.event.attributes) for letter in post.letters] == [
        (USERS, {"label.a": True, "subscribe.news": True, "comment": "vip"}), (USERS, {}),
    ]  # fmt: skip
    assert shop("DELETE", "/api/user/100").json() == {"RowAffected": 1}
    (asked,) = errands.newest(redis)
    assert (asked.kind, asked.subject) == ("forget", "100")


def test_a_user_is_not_forgotten_with_the_key_of_a_writer(web: Client, post: Post, settings: LazySettings) -> None:
    settings.SERVING = ServingConfig(api_key=SecretStr(KEY), admin_key=SecretStr("chief"))
    assert Shop(web)("DELETE", "/api/user/100").status_code == 401


def test_get_recommend_gives_ids_and_logs_the_list(shop: Shop, post: Post) -> None:
    whole = shop("GET", "/api/recommend/ann/?n=5&offset=0").json()
    assert whole[0] == "elder"
    assert sorted(whole) == ["apple", "bread", "cheese", "dates", "elder"]
    impression = post.letters[0].event
    assert (post.letters[0].topic, impression.slot, impression.confirmed) == (IMPRESSIONS, "for_you", True)
    assert [item.item_id for item in impression.items] == whole
    rest = shop("GET", "/api/recommend/ann/?n=2&offset=3").json()
    assert len(rest) == 2
    assert [item.position for item in post.letters[1].event.items] == [3, 4]


def test_a_category_is_a_part_of_the_path(shop: Shop) -> None:
    assert shop("GET", "/api/recommend/ann/food?n=2").status_code == 200
    assert shop("GET", "/api/recommend/ann/drinks?n=2").json() == []
    assert shop("GET", "/api/recommend/ann?category=drinks").json() == []


def test_neighbours_are_ids_with_scores(shop: Shop) -> None:
    for path in ("/api/item/apple/neighbors?n=3&offset=0", "/api/item/apple/neighbors/food?n=3&offset=0"):
        found = shop("GET", path).json()
        assert found
        assert [list(one) for one in found] == [["Id", "Score"]] * len(found)
        assert "apple" not in [one["Id"] for one in found]
    assert shop("GET", "/api/item/nothing/neighbors?n=3").status_code == 404


def test_a_session_is_ranked_and_not_stored(shop: Shop, post: Post) -> None:
    clicks = [
        {"FeedbackType": "like", "UserId": "0", "ItemId": item, "Timestamp": f"2025-01-0{day}T01:02:03"}
        for day, item in enumerate(("apple", "bread"), 1)
    ]
    found = shop("POST", "/api/session/recommend?n=3", clicks).json()
    assert [list(one) for one in found] == [["Id", "Score"]] * 3
    assert post.letters == []


def test_popular_and_latest(shop: Shop, redis: Redis) -> None:
    item_store.set_items(redis, [Item(99, "newest", categories=["food"]), Item(98, "hidden", available=False)])
    assert shop("GET", "/api/latest?n=2&offset=0").json()[0] == {"Id": "newest", "Score": 99.0}
    assert "hidden" not in [one["Id"] for one in shop("GET", "/api/latest/food?n=50").json()]
    hot.record(redis, [("zoe", "newest", 1)], keep=5)
    assert "newest" not in [one["Id"] for one in shop("GET", "/api/latest?n=50&offset=0&user-id=zoe").json()]
    assert shop("GET", "/api/popular/food?n=2&offset=0").status_code == 200


def test_a_slot_of_another_kind_does_not_change_what_a_call_means(
    shop: Shop, redis: Redis, settings: LazySettings, tmp_path: Path
) -> None:
    hot.set_trending(redis, "24h", {"dates": 3.0})
    best = shop("GET", "/api/popular?n=4").json()
    path = tmp_path / "slots.toml"
    path.write_text('[best_sellers]\nkind = "trending"\nfallback = []')
    services.close()
    settings.SERVING = ServingConfig(api_key=SecretStr(KEY), slots_file=path, ranker_url="")
    assert shop("GET", "/api/popular?n=4").json() == best
    ours = shop("GET", "/best-sellers/?k=4").json()["items"]
    assert [one["Id"] for one in best] == [one["item_id"] for one in ours]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/recommend/ann/?n=0", "n"),
        ("/api/recommend/ann/?n=90&offset=20", "offset"),
        ("/api/recommend/ann/?colour=1", "colour"),
        ("/api/recommend/ann/?write-back-type=read", "write-back-type"),
        ("/api/latest?offset=x", "offset"),
        ("/api/latest?user-id=", "user-id"),
    ],
)
def test_parameters_out_of_bounds_are_named(shop: Shop, path: str, field: str) -> None:
    answer = shop("GET", path)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_writers_show_the_key_and_a_broker_that_is_away_is_503(web: Client, shop: Shop, post: Post) -> None:
    stranger = Shop(web, "wrong")
    for method, path in (("POST", "/api/feedback"), ("POST", "/api/item"), ("PATCH", "/api/item/1"),
                         ("DELETE", "/api/item/1"), ("POST", "/api/user"), ("DELETE", "/api/user/1")):  # fmt: skip
        assert stranger(method, path, ITEM).status_code == 401
    post.failure = NotDelivered("Kafka cannot be reached")
    assert shop("POST", "/api/item", ITEM).headers["Retry-After"] == "2"


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_names = st.sampled_from(["FeedbackType", "UserId", "ItemId", "Timestamp", "Value", "Labels", "Categories", "Comment"])
_likely = st.sampled_from(["read", "ann", "apple", TIME]) | _values


@given(
    body=st.lists(st.dictionaries(_names, _likely, max_size=6), max_size=3) | _values,
    call=st.sampled_from(
        [("POST", "/api/feedback"), ("POST", "/api/items"), ("PATCH", "/api/item/1"), ("POST", "/api/users"),
         ("POST", "/api/session/recommend")]
    ),
)  # fmt: skip
@examples(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_is_a_fault_of_ours(shop: Shop, post: Post, body: Any, call: tuple[str, str]) -> None:
    services.storefront()
    assert shop(*call, body).status_code in (200, 400)
