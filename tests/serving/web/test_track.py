"""What a page tells: who vouches for it, and what a stranger cannot say."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from pydantic import SecretStr, ValidationError

from serving.config import TRACKABLE, ServingConfig
from serving.web import signing
from stream.events import IDENTITIES, INTERACTIONS, EventType
from tests.serving.web.conftest import KEY
from tests.serving.web.test_views import Post

VISITOR = "anon-" + "x" * 22
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def told(**changed: object) -> dict[str, object]:
    return {"event_id": "1", "event_type": "click", "item_id": "apple", **changed}


def send(web: Client, *events: dict[str, object], user_id: str = "ann", **more: object) -> Any:
    body = json.dumps({"user_id": user_id, "events": list(events), **more})
    return web.post("/track/", body, content_type="text/plain")


def token(user_id: str = "ann") -> str:
    return signing.shopper_token(user_id, key=signing.key_for(signing.SHOPPERS), now=datetime.now(UTC))


def request_id(user_id: str = "ann") -> str:
    return signing.new_request_id(user_id, key=signing.key_for(signing.REQUESTS))


def open_for(settings: LazySettings, types: str) -> None:
    settings.SERVING = ServingConfig(api_key=SecretStr(KEY), track_events=types)


def test_a_list_vouches_for_its_clicks_and_carts(web: Client, post: Post) -> None:
    rid = request_id()
    answer = send(web, told(request_id=rid, position=2), told(event_id="2", event_type="cart", request_id=rid))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "refused": []})
    click = post.letters[0].event
    assert (click.user_id, click.item_id, click.request_id, click.position) == ("ann", "apple", rid, 2)
    assert abs(click.event_time - datetime.now(UTC)) < timedelta(minutes=1)
    assert {letter.topic for letter in post.letters} == {INTERACTIONS}


def test_the_shops_token_vouches_for_an_order(web: Client, post: Post) -> None:
    order = told(event_type="purchase", value=2.5, quantity=2, order_id="1007", currency="EUR")
    assert send(web, order, token=token()).status_code == 202
    bought = post.letters[0].event
    assert (bought.event_type, bought.value, bought.order_id, bought.currency) == ("purchase", 2.5, "1007", "EUR")


@pytest.mark.parametrize(
    ("event", "more", "field"),
    [
        (told(), {}, "token"),
        (told(event_type="purchase"), {"with_list": True}, "token"),
        (told(event_type="rating"), {"with_list": True}, "token"),
        (told(event_type="return"), {"with_token": True}, "event_type"),
        (told(event_type="cancel"), {"with_token": True}, "event_type"),
        (told(request_id="kLb.made-up"), {}, "request_id"),
        (told(request_id="kLb.made-up"), {"with_token": True}, "request_id"),
        (told(item_id="a\0b"), {"with_token": True}, "item_id"),
        (told(event_type="purchase"), {"user_id": VISITOR}, "token"),
    ],
)
def test_a_stranger_cannot_speak_for_a_shopper(
    web: Client,
    post: Post,
    event: dict[str, object],
    more: dict[str, Any],
    field: str,
) -> None:
    user_id = more.get("user_id", "ann")
    event = {**event, "request_id": request_id(user_id)} if more.get("with_list") else event
    signed = {"token": token(user_id)} if more.get("with_token") else {}
    answer = send(web, event, user_id=user_id, **signed)
    assert answer.status_code == 400
    assert [(bad["index"], bad["field"]) for bad in answer.json()["refused"]] == [(0, field)]
    assert post.letters == []


def test_the_list_of_another_shopper_vouches_for_nothing(web: Client, post: Post) -> None:
    answer = send(web, told(request_id=request_id("bob")))
    assert answer.json()["refused"][0]["field"] == "request_id"


@pytest.mark.parametrize("bad", ["", "x", "9999999999.", "no"])
def test_a_wrong_or_old_token_is_400(web: Client, post: Post, bad: str) -> None:
    answer = send(web, told(), token=bad)
    assert (answer.status_code, answer.json()["field"]) == (400, "token")
    assert send(web, told(), token=token("bob")).json()["field"] == "token"


def test_a_token_ends() -> None:
    key = b"k" * 32
    made = signing.shopper_token("ann", key=key, now=NOW)
    assert signing.is_shopper(made, "ann", key=key, now=NOW)
    assert not signing.is_shopper(made, "bob", key=key, now=NOW)
    assert not signing.is_shopper(made, "ann", key=b"l" * 32, now=NOW)
    assert not signing.is_shopper(made, "ann", key=key, now=NOW + timedelta(seconds=signing.SHOPPER_SECONDS))
    later = f"{int(made.partition('.')[0]) + 1}.{made.partition('.')[2]}"
    assert not signing.is_shopper(later, "ann", key=key, now=NOW)


def test_an_anonymous_visitor_speaks_for_themselves_where_the_setting_says_so(
    web: Client,
    post: Post,
    settings: LazySettings,
) -> None:
    open_for(settings, "view, cart")
    answer = send(web, told(event_type="view"), told(event_id="2"), user_id=VISITOR)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert [bad["index"] for bad in answer.json()["refused"]] == [1]
    assert send(web, told(event_type="view"), user_id="ann").status_code == 400  # an id that can be guessed
    assert send(web, told(event_type="view"), user_id="anon-short").status_code == 400


def test_the_id_of_an_event_is_the_pages_own(web: Client, post: Post) -> None:
    """A page that told the id of the shop's order first would hide the order."""
    for user in ("ann", "bob", "ann"):
        send(web, told(event_id="order-1007"), user_id=user, token=token(user))
    first, other, again = (letter.event.event_id for letter in post.letters)
    assert first == again != other
    assert first.startswith("page:")


def test_a_login_needs_the_token_of_the_shopper(web: Client, post: Post) -> None:
    assert send(web, anonymous_id=VISITOR, token=token()).status_code == 202
    (letter,) = post.letters
    assert (letter.topic, letter.key, letter.event.user_id) == (IDENTITIES, VISITOR, "ann")
    assert send(web, anonymous_id=VISITOR).json()["field"] == "token"
    assert send(web, anonymous_id="bob", token=token()).json()["field"] == "anonymous_id"
    for nobody in ("null", "a\x0fb", " ann"):
        refused = send(web, user_id=nobody, anonymous_id=VISITOR, token=token(nobody))
        assert (refused.status_code, refused.json()["field"]) == (400, "user_id")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"user_id": "ann"}', b'{"user_id": "ann", "colour": 1}', b"[" * 9]
)
def test_what_is_no_message_is_400(web: Client, post: Post, body: bytes) -> None:
    assert web.post("/track/", body, content_type="application/json").status_code == 400


def test_pages_are_bounded_by_address_and_the_shops_server_is_not(
    web: Client,
    post: Post,
    settings: LazySettings,
    key: dict[str, str],
) -> None:
    settings.SERVING = ServingConfig(api_key=SecretStr(KEY), requests_per_second=10)
    body = json.dumps({"user_id": "ann", "events": [told(request_id=request_id())]})
    far = {"REMOTE_ADDR": "203.0.113.7"}
    answers = [web.post("/track/", body, content_type="application/json", **far).status_code for _ in range(5)]
    assert answers == [202, 202, 429, 429, 429]
    assert web.post("/track/", body, content_type="application/json", headers=key, **far).status_code == 202


def test_a_type_that_no_page_may_tell_is_refused_at_the_start() -> None:
    with pytest.raises(ValidationError, match="return"):
        ServingConfig(track_events="view,return")
    assert set(TRACKABLE) == {kind.value for kind in EventType} - {"return", "cancel"}
