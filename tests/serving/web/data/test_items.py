import json
from typing import Any

import pytest
from django.test import Client
from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import item_store
from serving.web.outbox import NotDelivered
from stream.events import CATALOG, CATALOG_CHANGES, decode, encode, utc
from stream.routes import ROUTES
from tests.serving.web.test_views import Post

JSON = "application/json"
ENTRY = {"item_id": "tea", "title": "Tea", "price": 2.5, "attributes": {"grams": 100}, "stock": 4}


def send(web: Client, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return web.generic(method, path, raw, content_type=JSON, headers=headers or {})


def test_whole_entries_go_to_the_catalogue(web: Client, post: Post, key: dict[str, str]) -> None:
    answer = send(web, "PUT", "/items/", [ENTRY, {"item_id": "rum"}], key)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "refused": []})
    assert [(letter.topic, letter.key) for letter in post.letters] == [(CATALOG, "tea"), (CATALOG, "rum")]
    tea = post.letters[0].event
    assert (tea.title, tea.price, tea.stock, tea.available) == ("Tea", 2.5, 4, True)
    assert tea == decode(encode(tea), type(tea), now=utc(4_000_000_000_000))


def test_a_patch_names_only_what_changes(web: Client, post: Post, key: dict[str, str]) -> None:
    changes = {"price": None, "attributes": {"grams": None, "new": True}, "event_time": "2026-01-01T00:00:00Z"}
    assert send(web, "PATCH", "/items/tea/", changes, key).status_code == 202
    (letter,) = post.letters
    assert (letter.topic, letter.key) == (CATALOG_CHANGES, "tea")
    assert letter.event.fields() == {"price": None}
    assert letter.event.attributes == {"grams": None, "new": True}
    assert letter.event.event_time.isoformat() == "2026-01-01T00:00:00+00:00"


def test_one_item_by_its_address_even_one_with_a_slash(web: Client, post: Post, key: dict[str, str]) -> None:
    assert send(web, "PUT", "/items/a%2Fb/", {"title": "Tea"}, key).status_code == 202
    assert post.letters[0].event.item_id == "a/b"
    assert send(web, "PUT", "/items/tea/", ENTRY, key).status_code == 202  # the same id again
    other = send(web, "PUT", "/items/rum/", ENTRY, key)
    assert (other.status_code, other.json()["refused"][0]["field"]) == (400, "item_id")
    assert send(web, "PUT", "/items/rum/", [ENTRY], key).status_code == 400


def test_a_delete_is_a_tombstone(web: Client, post: Post, key: dict[str, str]) -> None:
    assert send(web, "DELETE", "/items/tea/", headers=key).status_code == 202
    answer = send(web, "DELETE", "/items/?item_id=a&item_id=b%00&item_id=c%2Fd", headers=key)
    assert answer.json()["accepted"] == 2
    assert [(bad["index"], bad["field"]) for bad in answer.json()["refused"]] == [(1, "item_id")]
    assert [(letter.topic, letter.key, letter.event) for letter in post.letters] == [
        (CATALOG, "tea", None), (CATALOG, "a", None), (CATALOG, "c/d", None),
    ]  # fmt: skip
    assert send(web, "DELETE", "/items/", headers=key).json()["field"] == "item_id"


def test_stock_is_a_number_and_no_difference(web: Client, post: Post, key: dict[str, str]) -> None:
    stocks = [{"item_id": "tea", "stock": 0}, {"item_id": "rum", "stock": None}, {"item_id": "gin", "stock": -2}]
    answer = send(web, "POST", "/items/stock/", stocks, key)
    assert [(bad["index"], bad["field"]) for bad in answer.json()["refused"]] == [(2, "stock")]
    assert [letter.event.fields() for letter in post.letters] == [{"stock": 0}, {"stock": None}]
    wrong = send(web, "POST", "/items/stock/", {"item_id": "tea", "stock": 1, "price": 2}, key)
    assert wrong.json()["refused"][0]["field"] == "price"


@pytest.mark.parametrize("depth", [100, 300, 500, 700, 900, 1000, 5000])
def test_a_body_of_any_depth_is_refused(web: Client, post: Post, key: dict[str, str], depth: int) -> None:
    # How deep the reader may go depends on where it begins: one of these depths fits the first look and no second one.
    deep = b'{"item_id": "tea", "stock": 1, "event_time": ' + b"[" * depth + b"]" * depth + b"}"
    for method, path in (("POST", "/items/stock/"), ("PUT", "/items/"), ("PATCH", "/items/")):
        assert send(web, method, path, deep, key).status_code == 400
    assert post.letters == []


@pytest.mark.parametrize(
    ("method", "bad", "field"),
    [
        ("PUT", {**ENTRY, "price": -1}, "price"),
        ("PUT", {**ENTRY, "colour": "red"}, "colour"),
        ("PUT", {**ENTRY, "url": "javascript:alert(1)"}, "url"),
        ("PUT", {**ENTRY, "title": "a\0b"}, "title"),
        ("PUT", {**ENTRY, "event_time": None}, "event_time"),
        ("PUT", {**ENTRY, "event_time": "1980-01-01T00:00:00Z"}, "event_time"),
        ("PUT", {"title": "no id"}, "item_id"),
        ("PUT", 7, ""),
        ("PUT", "tea", ""),
        ("PATCH", {"item_id": "tea"}, ""),
        ("PATCH", {"item_id": "tea", "title": None}, "title"),
        ("PATCH", {"item_id": "tea", "stock": 1.5}, "stock"),
        ("PATCH", {"item_id": "tea", "attributes": {"a": []}}, "attributes"),
    ],
)
def test_each_bad_one_is_named_and_the_others_taken(
    web: Client, post: Post, key: dict[str, str], method: str, bad: Any, field: str
) -> None:
    good = {**ENTRY, "item_id": "good"}
    answer = send(web, method, "/items/", [bad, good], key)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert [(one["index"], one["field"]) for one in answer.json()["refused"]] == [(0, field)]
    assert answer.json()["refused"][0]["reason"]
    assert send(web, method, "/items/", bad, key).status_code == 400


@pytest.mark.parametrize("attributes", [b'{"a": 1e999}', b'{"a": ' + b"[" * 5000, b'{"a": "\xff"}'])
def test_attributes_that_no_store_can_keep_are_refused(
    web: Client, post: Post, key: dict[str, str], attributes: bytes
) -> None:
    body = b'{"item_id": "tea", "attributes": ' + attributes + b"}"
    assert send(web, "PUT", "/items/", body, key).status_code == 400
    assert post.letters == []


@pytest.mark.parametrize("body", [b"", b"[]", b"[1,", [ENTRY] * 4])
def test_a_body_out_of_bounds_is_refused_whole(web: Client, post: Post, key: dict[str, str], body: Any) -> None:
    for method in ("PUT", "PATCH"):
        assert send(web, method, "/items/", body, key).status_code == 400
    assert post.letters == []


def test_unknown_parameters_are_refused(web: Client, post: Post, key: dict[str, str]) -> None:
    for method, path in (("PUT", "/items/"), ("GET", "/items/apple/"), ("DELETE", "/items/apple/")):
        answer = send(web, method, f"{path}?force=1", ENTRY if method == "PUT" else None, key)
        assert (answer.status_code, answer.json()["field"]) == (400, "force")
    assert post.letters == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/items/"), ("PATCH", "/items/"), ("DELETE", "/items/?item_id=a"), ("POST", "/items/stock/"),
     ("PUT", "/items/a/"), ("PATCH", "/items/a/"), ("DELETE", "/items/a/")],
)  # fmt: skip
def test_writers_show_a_key(web: Client, post: Post, method: str, path: str) -> None:
    assert send(web, method, path, ENTRY).status_code == 401
    assert post.letters == []


def test_nothing_is_half_kept_while_the_broker_is_away(web: Client, post: Post, key: dict[str, str]) -> None:
    post.failure = NotDelivered("Kafka cannot be reached")
    answer = send(web, "PUT", "/items/", [ENTRY, {"item_id": "rum"}], key)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert post.letters == []


def test_a_reader_gets_all_that_is_known(web: Client, redis: Redis) -> None:
    item = Item(31, "tea", "Tea", ["Drinks"], "Leaf", 2.5, True, {"grams": 100}, "/p/tea", "", 4, "green")
    item_store.set_items(redis, [item, Item(32, "gone", available=False)])
    answer = web.get("/items/tea/")
    assert (answer.status_code, answer.json()) == (200, {
        "item_id": "tea", "title": "Tea", "categories": ["Drinks"], "brand": "Leaf", "price": 2.5, "available": True,
        "attributes": {"grams": 100}, "url": "/p/tea", "image_url": "", "stock": 4, "product_id": "green",
    })  # fmt: skip
    assert web.get("/items/gone/").status_code == 404
    assert web.get("/items/never/").status_code == 404


def test_every_field_of_the_contract_is_described() -> None:
    from serving.web.data.described import ITEMS, PATCHES

    kinds = {route.topic: kind for kind, route in ROUTES.items()}
    assert set(ITEMS["properties"]) == set(kinds[CATALOG].__struct_fields__)
    assert set(PATCHES["properties"]) == set(kinds[CATALOG_CHANGES].__struct_fields__)
