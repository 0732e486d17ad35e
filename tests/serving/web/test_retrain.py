"""The door for a retrain: who may ask, and what."""

from datetime import UTC, datetime

import jsonschema_rs
import orjson
import pytest
from django.conf import LazySettings
from django.test import Client
from pydantic import SecretStr
from redis import Redis

from graphstore.config import GraphstoreConfig
from graphstore.redis.asked import MAX_REASON_LENGTH, Asked, decode, raw_requests
from serving.config import ServingConfig
from serving.web import schema, services
from serving.web.answers import Refused
from serving.web.retrain import read_request
from tests.serving.web.conftest import KEY

ADMIN = {"Authorization": "Bearer only for me"}
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def operated(web: Client, settings: LazySettings) -> Client:
    settings.SERVING = ServingConfig(api_key=SecretStr(KEY), admin_key=SecretStr("only for me"))
    return web


def post(client: Client, body: str = "", **headers: str):
    return client.post("/retrain/", body, content_type="application/json", headers=headers)


def test_the_operator_asks(operated: Client, redis: Redis) -> None:
    answer = post(operated, '{"full": true, "why": "new season"}', **ADMIN)
    assert (answer.status_code, answer.json()) == (202, {"status": "asked", "full": True, "why": "new season"})
    assert post(operated, **ADMIN).json() == {"status": "asked", "full": False, "why": "by HTTP"}
    first, second = (decode(raw) for raw in raw_requests(redis))
    assert (first.requested_by, first.reason, first.full) == ("api", "new season", True)
    assert second.asked_at >= first.asked_at


def test_nobody_else_asks(operated: Client, web: Client, settings: LazySettings, redis: Redis) -> None:
    assert post(operated).status_code == 401
    assert post(operated, Authorization=f"Bearer {KEY}").status_code == 401  # the key of the shop's pages
    events = {"Authorization": "Bearer only for me"}
    assert web.post("/events/", "[]", content_type="application/json", headers=events).status_code == 401
    settings.SERVING = ServingConfig(api_key=SecretStr(KEY))
    closed = post(web, **ADMIN)
    assert (closed.status_code, closed.json()["detail"]) == (403, "this is closed: set SAGESTREAM_ADMIN_KEY")
    assert raw_requests(redis) == []


def test_without_redis_the_answer_says_so(operated: Client, settings: LazySettings) -> None:
    services.close()
    settings.GRAPHSTORE = GraphstoreConfig(redis_url="redis://127.0.0.1:1/0")
    assert post(operated, **ADMIN).status_code == 503


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"who": "me"}', b'{"full": 1}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        read_request(body, now=NOW)


@pytest.mark.parametrize("why", ["", " ", "a\\u0000b", "x" * (MAX_REASON_LENGTH + 1)])
def test_a_reason_that_cannot_be_stored_is_refused(why: str) -> None:
    with pytest.raises(Refused) as refused:
        read_request(f'{{"why": "{why}"}}'.encode(), now=NOW)
    assert refused.value.field == "why"


@pytest.mark.parametrize("blank", [" ", "\u001c", "\u0085", "\u00a0", "\u2003", "\u3000", "\ufeff"])
def test_a_blank_reason_is_refused_as_the_description_says(blank: str) -> None:
    # To Python U+FEFF is no space, to JSON Schema U+001C is none.
    assert not jsonschema_rs.is_valid(schema.RETRAIN, {"why": blank})
    with pytest.raises(Refused):
        read_request(orjson.dumps({"why": blank}), now=NOW)
    assert jsonschema_rs.is_valid(schema.RETRAIN, {"why": f"{blank}x"})
    assert read_request(orjson.dumps({"why": f"{blank}x"}), now=NOW).reason == f"{blank}x"


def test_an_empty_body_asks_for_what_is_due() -> None:
    asked_at = int(NOW.timestamp() * 1000)
    assert read_request(b" ", now=NOW) == Asked(requested_by="api", reason="by HTTP", asked_at=asked_at)
