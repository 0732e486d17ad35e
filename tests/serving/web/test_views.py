import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from pydantic import SecretStr
from redis import Redis

from graphstore.catalogue import Item
from graphstore.config import GraphstoreConfig
from graphstore.redis import item_store
from serving.breaker import Breaker
from serving.config import ServingConfig
from serving.exploration import propensities
from serving.routing import ROUTING, Arm, Exploration, Routing, Split, encode
from serving.web import intake, services
from serving.web.outbox import Letter, NotDelivered, Outbox
from stream.events import IMPRESSIONS, INTERACTIONS, Impression, Interaction
from tests.serving.toy import MODEL
from tests.serving.web.conftest import KEY


class Post:
    """An outbox that keeps what it gets."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.failure: Exception | None = None

    def offer(self, letter: Letter) -> bool:
        self.letters.append(letter)
        return True

    def deliver(self, letters: list[Letter], *, timeout_seconds: float) -> None:
        if self.failure:
            raise self.failure
        self.letters += letters

    def close(self) -> None:
        pass


def event(**changed: object) -> dict[str, object]:
    time = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    return {
        "event_id": "e",
        "event_type": "view",
        "user_id": "ann",
        "item_id": "apple",
        "event_time": time,
        **changed,
    }


def send(web: Client, body: object, headers: dict[str, str], kind: str = "application/json") -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body)
    answer = web.post("/events/", content, content_type=kind, headers=headers)
    return answer.status_code, answer.json()


def test_a_list_with_everything_that_a_page_shows(web: Client, post: Post) -> None:
    answer = web.get("/recommendations/ann/?k=2&slot=home&explain=1")
    body = answer.json()
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert list(body) == [
        *("request_id", "user_id", "slot", "model_version", "variant", "source", "as_of", "degraded", "items"),
    ]
    assert (body["user_id"], body["model_version"], body["source"]) == ("ann", MODEL, "batch")
    assert (body["slot"], body["degraded"]) == ("home", "ranker away: no ranker is set")
    assert body["as_of"] == "1970-01-01T00:00:01+00:00"
    assert body["items"][0] == {
        "item_id": "elder",
        "position": 0,
        "score": 5.0,
        "title": "Elder",
        "categories": ["food"],
        "brand": "Toy",
        "price": 1.5,
        "url": "",
        "image_url": "",
        "reason": "picked for you",
        "source": "batch",
        "propensity": 1.0,
        "evidence": {"terms": {}, "because": [], "path": None, "rules": []},
    }
    assert [letter.topic for letter in post.letters] == [IMPRESSIONS]
    assert post.letters[0].event.request_id == body["request_id"]  # type: ignore[attr-defined]


def test_the_impression_of_an_experiment_names_its_arm_and_the_exact_propensities(
    web: Client, post: Post, redis: Redis
) -> None:
    how = Exploration(temperature=1.0, new_items=0.5)
    split = Split("try", "salt", (Arm("wide", 1.0, None, how),), "home")
    redis.set(ROUTING, encode(Routing((split,), MODEL)))
    item_store.set_items(redis, [Item(90, "novelty")])
    order = ["elder", "apple", "bread", "cheese", "dates", "novelty"]
    sources = set()
    for _ in range(20):
        body = web.get("/recommendations/ann/?k=3&slot=home").json()
        event = post.letters[-1].event
        assert isinstance(event, Impression)
        assert (event.request_id, event.variant, event.model_version) == (body["request_id"], "try/wide", MODEL)
        shown = [(item.item_id, item.position, item.source, item.propensity) for item in event.items]
        assert shown == [
            tuple(item[key] for key in ("item_id", "position", "source", "propensity")) for item in body["items"]
        ]
        law = propensities([5.0, 4.0, 3.0, 2.0, 1.0], 1, how, [order.index(item.item_id) for item in event.items])
        assert [item.propensity for item in event.items] == pytest.approx(law)
        sources |= {(item.source, item.item_id == "novelty") for item in event.items}
    assert sources == {("batch", False), ("new", True)}
    assert web.get("/recommendations/ann/?k=3&slot=cart").json()["variant"] == "champion"


def test_a_look_without_a_slot_is_no_impression(web: Client, post: Post) -> None:
    assert web.get("/recommendations/ann/").status_code == 200
    assert web.head("/recommendations/ann/?slot=home").status_code == 200
    assert web.options("/recommendations/ann/?slot=home").status_code == 200
    assert post.letters == []


def test_a_slot_that_is_not_configured_is_refused_and_logs_nothing(web: Client, post: Post) -> None:
    answer = web.get("/recommendations/ann/?slot=%5B/nope%5D")
    assert (answer.status_code, answer.json()["field"]) == (400, "slot")
    assert post.letters == []


def test_impressions_of_strangers_are_bounded_and_those_with_the_key_are_not(
    web: Client, post: Post, key: dict[str, str], settings: LazySettings
) -> None:
    settings.SERVING = ServingConfig(api_key=SecretStr(KEY), requests_per_second=10)
    path, stranger = "/recommendations/ann/?slot=home", "203.0.113.7"
    assert [web.get(path, REMOTE_ADDR=stranger).status_code for _ in range(5)] == [200] * 5
    assert len(post.letters) == 2
    assert web.get(path, headers=key, REMOTE_ADDR=stranger).status_code == 200
    assert len(post.letters) == 3


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b'[{"a":' + b"[" * 100_000])
def test_deep_nesting_is_400(web: Client, post: Post, key: dict[str, str], body: bytes) -> None:
    assert send(web, body, key)[0] == 400


def test_a_stranger_gets_the_popular_list(web: Client) -> None:
    assert web.get("/recommendations/nobody/").json()["source"] == "popular"


@pytest.mark.parametrize(
    ("path", "user"), [("a%20b", "a b"), ("%C3%BC", "ü"), ("a%2Fb", "a/b"), ("x%0Ay", "x\ny"), ("a%3Fb%3D1", "a?b=1")]
)
def test_ids_in_paths_are_decoded(web: Client, path: str, user: str) -> None:
    assert web.get(f"/recommendations/{path}/").json()["user_id"] == user


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/recommendations/ann/?k=0", "k"),
        ("/recommendations/ann/?k=101", "k"),
        ("/recommendations/ann/?slot=", "slot"),
        (f"/recommendations/ann/?slot={'x' * 129}", "slot"),
        ("/recommendations/ann/?explain=perhaps", "explain"),
        (f"/recommendations/{'x' * 129}/", "user_id"),
        ("/recommendations/a%00b/", "user_id"),
        (f"/items/{'x' * 129}/similar/", "item_id"),
        ("/items/apple/similar/?k=x", "k"),
        ("/trending/?window=2h", "window"),
        ("/trending/?k=-1", "k"),
    ],
)
def test_a_parameter_out_of_bounds_is_named(web: Client, path: str, field: str) -> None:
    answer = web.get(path)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_before_the_first_publication_it_says_so(web: Client, redis: Redis) -> None:
    redis.flushall()
    answer = web.get("/recommendations/ann/")
    assert answer.status_code == 503
    assert "published" in answer.json()["detail"]
    assert answer["Retry-After"]


def test_without_redis_it_says_so(web: Client, settings: LazySettings) -> None:
    services.close()
    settings.GRAPHSTORE = GraphstoreConfig(redis_url="redis://127.0.0.1:1/0")
    for path in ("/recommendations/ann/", "/items/apple/similar/", "/trending/"):
        answer = web.get(path)
        assert answer.status_code == 503
        assert "Redis" in answer.json()["detail"]


def test_while_redis_hangs_requests_wait_one_timeout_together_and_then_not_at_all(
    web: Client, settings: LazySettings, hung_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.close()
    settings.GRAPHSTORE = GraphstoreConfig(redis_url=hung_redis)
    settings.READ_TIMEOUT_SECONDS = 0.4
    services.storefront().redis.breaker = Breaker(open_seconds=600.0)  # nobody tries again, however slow the machine
    asked: list[None] = []
    ask = Redis.execute_command
    monkeypatch.setattr(Redis, "execute_command", lambda *given, **named: (asked.append(None), ask(*given, **named))[1])
    with ThreadPoolExecutor(8) as shoppers:
        answers = list(shoppers.map(lambda _: Client().get("/recommendations/ann/?explain=1"), range(32)))
    assert 1 <= len(asked) <= 8  # each thread at most once; without the breaker, every request
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0]["Retry-After"]


def test_one_event_or_many_are_taken(web: Client, post: Post, key: dict[str, str]) -> None:
    assert send(web, event(), key) == (202, {"accepted": 1, "refused": []})
    assert send(web, [event(event_id="f"), event(event_id="g")], key)[1]["accepted"] == 2
    assert [(letter.topic, letter.key) for letter in post.letters] == [(INTERACTIONS, "ann")] * 3


def test_an_order_arrives_as_it_was_posted(web: Client, post: Post, key: dict[str, str]) -> None:
    line = {"event_type": "purchase", "value": 2.5, "quantity": 2, "order_id": "1007", "currency": "EUR"}
    bad = {**line, "event_id": "g", "currency": "euro"}
    status, body = send(web, [event(**line), event(**bad)], key)
    assert (status, [refusal["field"] for refusal in body["refused"]]) == (202, ["currency"])
    sent = post.letters[-1].event
    assert isinstance(sent, Interaction)
    assert (sent.value, sent.quantity, sent.order_id, sent.currency) == (2.5, 2, "1007", "EUR")


def test_each_bad_event_is_named(web: Client, post: Post, key: dict[str, str]) -> None:
    status, body = send(web, [event(event_type="stare"), event(), event(colour="red")], key)
    assert (status, body["accepted"]) == (202, 1)
    assert [(refusal["index"], refusal["field"]) for refusal in body["refused"]] == [(0, "event_type"), (2, "colour")]
    assert all(refusal["reason"] for refusal in body["refused"])


def test_only_bad_events_are_400(web: Client, post: Post, key: dict[str, str]) -> None:
    status, body = send(web, event(user_id=""), key)
    assert (status, body["accepted"], body["refused"][0]["field"]) == (400, 0, "user_id")
    assert post.letters == []


@pytest.mark.parametrize("body", [b"", b"[]", b"[1,2", [{}, {}, {}, {}]])
def test_an_unreadable_body_is_400(web: Client, post: Post, key: dict[str, str], body: object) -> None:
    assert send(web, body, key)[0] == 400


def test_a_body_beyond_the_bound_is_413(web: Client, post: Post, key: dict[str, str]) -> None:
    assert send(web, b" " * (intake.MAX_BODY_BYTES + 1), key)[0] == 413


def test_only_json_is_read(web: Client, post: Post, key: dict[str, str]) -> None:
    assert send(web, event(), key, kind="text/plain")[0] == 415


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"X-API-Key": "wrong"}, {"Authorization": "Basic open sesame"}]
)
def test_writers_show_the_key(web: Client, post: Post, headers: dict[str, str]) -> None:
    answer = web.post("/events/", json.dumps(event()), content_type="application/json", headers=headers)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert post.letters == []


def test_the_key_may_come_in_a_header_of_its_own(web: Client, post: Post) -> None:
    assert send(web, event(), {"X-API-Key": "open sesame"})[0] == 202


@pytest.mark.parametrize("unset", [None, SecretStr("")])
def test_without_a_key_writing_is_closed(
    web: Client, post: Post, settings: LazySettings, unset: SecretStr | None
) -> None:
    settings.SERVING = ServingConfig(api_key=unset)
    status, body = send(web, event(), {"Authorization": "Bearer "})
    assert status == 403
    assert "SAGESTREAM_API_KEY" in body["detail"]


def test_events_that_kafka_did_not_take_are_not_acknowledged(web: Client, post: Post, key: dict[str, str]) -> None:
    post.failure = NotDelivered("Kafka cannot be reached")
    assert send(web, event(), key) == (503, {"detail": "Kafka cannot be reached"})


def test_a_broker_that_is_away_is_said_at_once(web: Client, key: dict[str, str]) -> None:
    status, body = send(web, event(), key)
    assert status == 503
    assert "Kafka" in body["detail"]
    assert isinstance(services.outbox(), Outbox)


def test_lists_are_served_without_a_broker(web: Client) -> None:
    assert web.get("/recommendations/ann/?slot=home").status_code == 200


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_other_methods_are_refused(web: Client, method: str) -> None:
    assert getattr(web, method)("/recommendations/ann/").status_code == 405


@pytest.mark.parametrize("path", ["/events/", "/seen/", "/track/", "/retrain/"])
def test_a_parameter_that_a_door_does_not_know_is_named(
    web: Client, post: Post, settings: LazySettings, key: dict[str, str], path: str
) -> None:
    settings.SERVING = settings.SERVING.model_copy(update={"admin_key": settings.SERVING.api_key})
    answer = web.post(f"{path}?full=true", "{}", content_type="application/json", headers=key)
    assert (answer.status_code, answer.json()["field"]) == (400, "full")


def test_the_parameters_of_a_tracker_are_its_own(web: Client, post: Post, key: dict[str, str]) -> None:
    message = {"client_id": "c", "events": [{"name": "view_item", "params": {"items": [{"item_id": "tea"}]}}]}
    address = "/events/ga4/?measurement_id=G-1&api_secret=x"  # as Google's protocol has it
    assert web.post(address, message, content_type="application/json", headers=key).status_code == 202
