from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from pydantic import SecretStr
from redis import Redis

from graphstore.redis import errands, hot
from graphstore.redis.errands import DONE, FAILED, MAX_WAITING
from serving.config import ServingConfig
from serving.web import signing
from stream.events import IDENTITIES, USERS, milliseconds, utc
from tests.serving.web.conftest import KEY
from tests.serving.web.data.test_items import send
from tests.serving.web.test_views import Post

OPERATOR = {"X-API-Key": "chief"}
NOW = milliseconds(datetime(2026, 3, 1, tzinfo=UTC))


@pytest.fixture(autouse=True)
def operator(web: Client, settings: LazySettings) -> None:
    settings.SERVING = ServingConfig(api_key=SecretStr(KEY), admin_key=SecretStr("chief"), read_keys=SecretStr("page"))


def ended(redis: Redis, receipt: str, word: Any, said: str, result: bytes | None = None) -> None:
    """As the monitor does at the end of an errand."""
    raw = errands.first(redis)
    assert raw is not None
    errand = errands.decode(raw)
    assert errand.id == receipt
    errands.tell(redis, errand, word, said, now=NOW, result=result)
    errands.take_off(redis, raw)


def test_attributes_are_replaced_as_a_whole(web: Client, post: Post, key: dict[str, str]) -> None:
    assert send(web, "PUT", "/users/ann/", {"attributes": {"city": "Köln", "vip": True}}, key).status_code == 202
    (letter,) = post.letters
    assert (letter.topic, letter.key, letter.event.attributes) == (USERS, "ann", {"city": "Köln", "vip": True})
    refused = send(web, "PATCH", "/users/ann/", {"attributes": {"city": "Bonn"}}, key)
    assert refused.status_code == 405
    assert "PUT all of them" in refused.json()["detail"]


def test_logins_one_or_many(web: Client, post: Post, key: dict[str, str]) -> None:
    logins = [{"anonymous_id": "s1", "user_id": "ann"}, {"anonymous_id": "", "user_id": "ann"}]
    answer = send(web, "POST", "/identities/", logins, key)
    assert (answer.status_code, [bad["field"] for bad in answer.json()["refused"]]) == (202, ["anonymous_id"])
    (letter,) = post.letters
    assert (letter.topic, letter.key, letter.event.user_id) == (IDENTITIES, "s1", "ann")


@pytest.mark.parametrize("user_id", ["null", " ", "-", "a\x1fb"])
def test_a_login_of_nobody_is_refused(web: Client, post: Post, key: dict[str, str], user_id: str) -> None:
    login = {"anonymous_id": "anon-1", "user_id": user_id}
    answer = web.post("/identities/", login, content_type="application/json", headers=key)
    assert (answer.status_code, answer.json()["refused"][0]["field"], post.letters) == (400, "user_id", [])
    padded = {"anonymous_id": " anon-1", "user_id": "u42 "}
    assert web.post("/identities/", padded, content_type="application/json", headers=key).status_code == 202
    assert (post.letters[0].event.anonymous_id, post.letters[0].event.user_id) == ("anon-1", "u42")  # type: ignore[union-attr]


def test_what_the_readers_know_of_a_shopper(web: Client, redis: Redis, key: dict[str, str]) -> None:
    hot.record(redis, [("zoe", "apple", NOW), ("zoe", "bread", NOW + 1000)], keep=5)
    told = web.get("/users/zoe/", headers=key).json()
    assert [item["item_id"] for item in told["recent"]] == ["bread", "apple"]
    assert datetime.fromisoformat(told["recent"][1]["event_time"]) == utc(NOW)


def test_a_token_of_a_page_is_the_shoppers(web: Client, key: dict[str, str]) -> None:
    told = web.get("/users/zoe/token/", headers=key).json()
    of_shopper = {"key": signing.key_for(signing.SHOPPERS), "now": datetime.now(UTC)}
    assert signing.is_shopper(told["token"], "zoe", **of_shopper)
    assert not signing.is_shopper(told["token"], "ann", **of_shopper)


def test_a_shopper_is_forgotten_with_a_receipt(web: Client, redis: Redis) -> None:
    asked = send(web, "DELETE", "/users/ann/", headers=OPERATOR)
    receipt = asked.json()["receipt"]
    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    assert send(web, "DELETE", "/users/ann/", headers=OPERATOR).json()["receipt"] == receipt  # asked once
    ended(redis, receipt, DONE, "forgotten: 2 ids, 7 rows")
    told = web.get(f"/erasures/{receipt}/", headers=OPERATOR).json()
    assert (told["state"], told["said"]) == ("done", "forgotten: 2 ids, 7 rows")
    assert web.get("/erasures/unknown/", headers=OPERATOR).status_code == 404


def test_an_export_is_asked_for_and_fetched(web: Client, redis: Redis) -> None:
    asked = web.get("/users/ann/export/", headers=OPERATOR)
    receipt = asked.json()["receipt"]
    assert (asked.status_code, asked.headers["Retry-After"]) == (202, "1")
    path = f"/users/ann/export/?receipt={receipt}"
    assert web.get(path, headers=OPERATOR).status_code == 202
    ended(redis, receipt, DONE, "1 rows", b'{"ids":["ann"],"users":[]}')
    assert web.get(f"/users/bob/export/?receipt={receipt}", headers=OPERATOR).status_code == 404  # another's
    assert web.get(f"/erasures/{receipt}/", headers=OPERATOR).status_code == 404
    told = web.get(path, headers=OPERATOR)
    assert (told.status_code, told.json()) == (200, {"ids": ["ann"], "users": []})
    redis.delete(errands.result_key(receipt))
    assert web.get(path, headers=OPERATOR).status_code == 404


def test_an_export_of_nobody_says_so(web: Client, redis: Redis) -> None:
    receipt = web.get("/users/nobody/export/", headers=OPERATOR).json()["receipt"]
    ended(redis, receipt, FAILED, "no row names this shopper")
    told = web.get(f"/users/nobody/export/?receipt={receipt}", headers=OPERATOR)
    assert (told.status_code, told.json()["detail"]) == (404, "no row names this shopper")


def test_too_many_errands_are_503(web: Client) -> None:
    answers = [send(web, "DELETE", f"/users/u{n}/", headers=OPERATOR) for n in range(MAX_WAITING + 1)]
    assert [answer.status_code for answer in answers] == [202] * MAX_WAITING + [503]
    assert answers[-1].headers["Retry-After"] == "2"


@pytest.mark.parametrize(
    ("method", "path", "opens"),
    [
        ("GET", "/users/ann/", "write"),
        ("PUT", "/users/ann/", "write"),
        ("GET", "/users/ann/token/", "write"),
        ("POST", "/identities/", "write"),
        ("DELETE", "/users/ann/", "admin"),
        ("GET", "/users/ann/export/", "admin"),
        ("GET", "/erasures/x/", "admin"),
    ],
)
def test_what_names_a_person_needs_more_than_the_key_of_a_page(
    web: Client, post: Post, method: str, path: str, opens: str
) -> None:
    for role, shown in (("none", ""), ("read", "page"), ("write", KEY), ("admin", "chief")):
        status = send(web, method, path, b"", {"X-API-Key": shown}).status_code
        assert (status != 401) is (role == opens), (role, status)
