import json
import re
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from redis import Redis

from graphstore.config import GraphstoreConfig
from serving import cache
from serving.config import ServingConfig
from serving.web import services, shop
from serving.web.outbox import NotDelivered
from stream.events import INTERACTIONS, Interaction
from tests.serving.web.test_views import Post

CLICK = {"event_type": "cart", "user_id": "ann", "item_id": "apple", "request_id": "r1", "position": 3}


@pytest.fixture
def post(web: Client, monkeypatch: pytest.MonkeyPatch) -> Post:
    made = Post()
    monkeypatch.setattr(services, "outbox", lambda: made)
    return made


def click(client: Client, body: object, token: str | None) -> tuple[int, Any]:
    headers = {"X-CSRFToken": token} if token else {}
    answer = client.post("/shop/events/", json.dumps(body), content_type="application/json", headers=headers)
    return answer.status_code, answer.json()


def visit() -> tuple[Client, str]:
    """A browser that opened the page: its cookie and the token in the markup."""
    client = Client(enforce_csrf_checks=True)
    found = re.search(r'data-csrf="(\w+)"', client.get("/").content.decode())
    assert found
    return client, found[1]


def test_the_page_offers_shoppers_and_loads_nothing_from_elsewhere(web: Client) -> None:
    answer = web.get("/")
    text = answer.content.decode()
    assert "<body data-csrf=" in text
    assert 'data-shopper="ann"' in text
    assert not re.search(r"(src|href)=\"(https?:)?//", text)
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert "<script>" not in text
    assert "style=" not in text
    assert answer.cookies["csrftoken"]["samesite"] == "Strict"


def test_a_click_becomes_an_event(web: Client, post: Post) -> None:
    client, token = visit()
    status, body = click(client, CLICK, token)
    assert status == 202
    (letter,) = post.letters
    event = letter.event
    assert isinstance(event, Interaction)
    assert (letter.topic, letter.key) == (INTERACTIONS, "ann")
    assert (event.event_type, event.item_id, event.request_id, event.position) == ("cart", "apple", "r1", 3)
    assert event.event_id == body["event_id"]
    assert event.event_id.startswith(shop.DEMO_PREFIX)
    assert click(client, {k: CLICK[k] for k in ("event_type", "user_id", "item_id")}, token)[0] == 202


def test_a_purchase_is_an_order_with_its_price(web: Client, post: Post) -> None:
    client, token = visit()
    bought = {**CLICK, "event_type": "purchase", "order_id": "one", "value": 2.5}
    assert click(client, bought, token)[0] == 202
    event = post.letters[-1].event
    assert isinstance(event, Interaction)
    assert (event.order_id, event.value, event.currency) == ("demo:one", 2.5, None)


def test_a_click_from_elsewhere_is_refused(web: Client, post: Post) -> None:
    client, _ = visit()
    for token in (None, "x" * 64):
        status, body = click(client, CLICK, token)
        assert status == 403
        assert "not from this page" in body["detail"]
    assert post.letters == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_type", "stare"),
        ("user_id", ""),
        ("user_id", "a\0b"),
        ("item_id", "x" * 129),
        ("item_id", "\0"),
        ("request_id", "\0r"),
        ("position", -1),
        ("event_id", "mine"),
        ("click_id", "c" * 128),
        ("click_id", "\0"),
        ("order_id", "o" * 128),
        ("value", "2.5"),
    ],
)
def test_a_click_outside_the_contract_is_400_with_its_field(web: Client, post: Post, field: str, value: object) -> None:
    client, token = visit()
    status, body = click(client, {**CLICK, field: value}, token)
    assert (status, body["field"]) == (400, field), body
    assert post.letters == []


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"user_id":' * 50_000, b"\xff", b"", b"[]", b'"a"'])
def test_bytes_that_are_no_click_are_400(web: Client, post: Post, raw: bytes) -> None:
    client, token = visit()
    answer = client.post("/shop/events/", raw, content_type="application/json", headers={"X-CSRFToken": token})
    assert answer.status_code == 400
    assert post.letters == []


def test_a_click_that_kafka_did_not_take_is_said_and_counts_once_when_it_is_repeated(web: Client, post: Post) -> None:
    client, token = visit()
    post.failure = NotDelivered("Kafka cannot be reached")
    sent = {**CLICK, "click_id": "one"}
    assert click(client, sent, token) == (503, {"detail": "Kafka cannot be reached"})
    post.failure = None
    assert click(client, sent, token)[1]["event_id"] == click(client, sent, token)[1]["event_id"] == "demo:one"


def test_the_page_opens_without_redis_and_before_the_first_model(
    web: Client, redis: Redis, settings: LazySettings
) -> None:
    redis.flushall()
    assert web.get("/").status_code == 200
    services.close()
    settings.GRAPHSTORE = GraphstoreConfig(redis_url="redis://127.0.0.1:1/0")
    assert web.get("/").status_code == 200


def test_ids_are_escaped(web: Client, redis: Redis) -> None:
    redis.set(cache.recs_key("m1", '"><script>x'), b"")
    assert "<script>x" not in web.get("/").content.decode()


def test_shoppers_are_found_by_a_bounded_scan(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop, "SHOPPERS_SECONDS", 0.0)
    redis.mset({cache.recs_key("m1", f"u{n:03}"): b"" for n in range(50)} | {cache.recs_key("m2", "other"): b""})
    found = shop.known_shoppers(redis, "m1")
    assert len(found) == shop.SHOPPERS
    assert all(re.fullmatch(r"u\d{3}", name) for name in found)
    assert shop.known_shoppers(redis, "m2") == ["other"]


def test_the_page_is_off_unless_asked_for(web: Client, settings: LazySettings) -> None:
    settings.SERVING = ServingConfig()
    assert web.get("/").status_code == 404
    assert web.post("/shop/events/", "{}", content_type="application/json").status_code == 404
