"""What was seen: only of a list that was really served to that shopper, from any browser, within bounds."""

import json
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import Engine, func, select

from graphstore.session import read
from graphstore.tables import impressions, seen_items
from serving.config import ServingConfig
from serving.web import services
from serving.web.outbox import NotDelivered
from stream.events import IMPRESSIONS, SEEN, Impression, Seen
from stream.worker.sink import Sink
from tests.serving.web.conftest import KEY
from tests.serving.web.test_readers import BROWSERS, CRAWLERS
from tests.serving.web.test_views import Post

NOW = 1_767_600_000_000
STRANGER = "203.0.113.7"


@pytest.fixture
def post(web: Client, monkeypatch: pytest.MonkeyPatch) -> Post:
    made = Post()
    monkeypatch.setattr(services, "outbox", lambda: made)
    return made


def served(web: Client, user_id: str = "ann", **headers: Any) -> str:
    return str(web.get(f"/recommendations/{user_id}/?k=3&slot=home", **headers).json()["request_id"])


def look(web: Client, body: object, kind: str = "text/plain;charset=UTF-8", **more: Any) -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body)
    answer = web.post("/seen/", content, content_type=kind, **more)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("kind", ["text/plain;charset=UTF-8", "application/json"])
def test_a_browser_says_what_was_seen_without_a_key(web: Client, post: Post, kind: str) -> None:
    request_id = served(web)
    body = {"request_id": request_id, "user_id": "ann", "positions": [2, 0, 2]}
    assert look(web, body, kind) == (202, {"seen": 2})
    letter = post.letters[-1]
    assert (letter.topic, letter.key) == (SEEN, "ann")
    assert isinstance(letter.event, Seen)
    assert (letter.event.request_id, letter.event.user_id, letter.event.positions) == (request_id, "ann", [0, 2])


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"request_id": "5f0c8a52-0b6e-4a0e-9f4e-0d9f3d2f1a11"}, "request_id"),
        ({"request_id": "A" * 20 + "." + "A" * 24}, "request_id"),
        ({"request_id": ""}, "request_id"),
        ({"request_id": "x" * 129}, "request_id"),
        ({"user_id": "ben"}, "request_id"),
        ({"user_id": "ann\0"}, "request_id"),
        ({"user_id": 7}, "user_id"),
        ({"positions": []}, "positions"),
        ({"positions": [100]}, "positions"),
        ({"positions": [-1]}, "positions"),
        ({"positions": [*range(100), 0]}, "positions"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_does_not_fit_is_400_with_its_field(
    web: Client, post: Post, changed: dict[str, object], field: str
) -> None:
    body = {"request_id": served(web), "user_id": "ann", "positions": [0], **changed}
    status, answer = look(web, body)
    assert (status, answer["field"]) == (400, field), answer
    assert [letter.topic for letter in post.letters] == [IMPRESSIONS]


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff", b'"a"', b"[" * 60_000, b"null", b'{"request_id": "r"}'])
def test_bytes_that_say_nothing_are_400(web: Client, post: Post, raw: bytes) -> None:
    assert look(web, raw)[0] == 400
    assert post.letters == []


def test_a_key_of_another_shop_signs_nothing_here(web: Client, post: Post, settings: LazySettings) -> None:
    request_id = served(web)
    settings.SERVING = ServingConfig(api_key=SecretStr("another"))
    assert look(web, {"request_id": request_id, "user_id": "ann", "positions": [0]})[0] == 400


def test_what_one_address_says_is_bounded_and_a_shop_with_the_key_is_not(
    web: Client, post: Post, key: dict[str, str], settings: LazySettings
) -> None:
    settings.SERVING = ServingConfig(api_key=SecretStr(KEY), requests_per_second=10)
    body = {"request_id": served(web), "user_id": "ann", "positions": [0]}
    assert [look(web, body, REMOTE_ADDR=STRANGER)[0] for _ in range(4)] == [202, 202, 429, 429]
    assert web.post("/seen/", json.dumps(body), content_type="text/plain", REMOTE_ADDR=STRANGER)["Retry-After"] == "2"
    assert look(web, body, REMOTE_ADDR=STRANGER, headers=key)[0] == 202
    assert look(web, body)[0] == 202  # this machine
    web.get("/recommendations/ann/?slot=home", REMOTE_ADDR=STRANGER)  # looks take nothing from lists
    assert post.letters[-1].topic == IMPRESSIONS


def test_what_kafka_did_not_take_is_said(web: Client, post: Post) -> None:
    body = {"request_id": served(web), "user_id": "ann", "positions": [0]}
    post.failure = NotDelivered("Kafka cannot be reached")
    assert look(web, body) == (503, {"detail": "Kafka cannot be reached"})


def test_only_the_key_vouches_for_a_list(web: Client, post: Post, key: dict[str, str]) -> None:
    path = "/recommendations/ann/?slot=home"
    web.get(path, headers=key)
    web.get(f"{path}&confirmed=false", headers=key)
    web.get(path)
    web.get(f"{path}&confirmed=0")
    logged = [letter.event for letter in post.letters]
    assert [event.confirmed for event in logged if isinstance(event, Impression)] == [True, False, False, False]
    for query in ("confirmed=true", "confirmed=perhaps"):
        answer = web.get(f"{path}&{query}")
        assert (answer.status_code, answer.json()["field"]) == (400, "confirmed")
    assert len(post.letters) == 4


def test_robots_and_clients_are_marked(web: Client, post: Post, key: dict[str, str]) -> None:
    path = "/recommendations/ann/?slot=home"
    for agent in (BROWSERS[0], CRAWLERS[0], "python-requests/2.32"):
        web.get(path, HTTP_USER_AGENT=agent, REMOTE_ADDR=STRANGER)
        web.get(path, headers={**key, "User-Agent": agent}, REMOTE_ADDR=STRANGER)
    logged = [letter.event for letter in post.letters if isinstance(letter.event, Impression)]
    assert [event.robot for event in logged] == [False, False, True, True, True, False]
    assert [bool(event.client) for event in logged] == [True, False] * 3
    assert len({event.client for event in logged if event.client}) == 1
    assert STRANGER not in logged[0].client


def test_many_anonymous_reads_show_nothing_and_a_beacon_counts_once(
    web: Client, post: Post, engine: Engine, redis: Redis
) -> None:
    """150 lists that a stranger fetches stay apart; the list that a page shows is shown, however often it says so."""
    for number in range(150):
        served(web, f"visitor-{number}", HTTP_USER_AGENT=BROWSERS[0])
    body = {"request_id": served(web, HTTP_USER_AGENT=BROWSERS[0]), "user_id": "ann", "positions": [0, 1]}
    for _ in range(3):
        assert look(web, body)[0] == 202
    sink = Sink(engine, redis, recent_items=5, trending_items=5)
    sink.store_impressions([letter.event for letter in post.letters if isinstance(letter.event, Impression)], now=NOW)
    sink.store_seen([letter.event for letter in post.letters if isinstance(letter.event, Seen)], now=NOW)
    listed = impressions.join(
        seen_items,
        (impressions.c.request_id == seen_items.c.request_id) & (impressions.c.position == seen_items.c.position),
        isouter=True,
    )
    with read(engine) as connection:
        fetched = connection.scalar(select(func.count(impressions.c.request_id.distinct())))
        confirmed = connection.scalar(select(func.count()).select_from(impressions).where(impressions.c.confirmed))
        shown = connection.execute(
            select(impressions.c.user_id, impressions.c.position)
            .select_from(listed)
            .where(seen_items.c.request_id.is_not(None))
            .order_by(impressions.c.position)
        ).all()
    assert (fetched, confirmed, shown) == (151, 0, [("ann", 0), ("ann", 1)])
