"""Posted messages of trackers become events; each that cannot is named with its place and field."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from serving.web.intake import UnreadableBody
from serving.web.messages import read_messages
from serving.web.outbox import letter_of
from stream.events import Interaction
from tests.serving.web.test_views import Post

NOW = datetime(2026, 6, 1, tzinfo=UTC)
VIEWED = {"type": "track", "event": "Product Viewed", "userId": "u", "properties": {"product_id": "p"}}
LOGIN = {"type": "identify", "userId": "u", "anonymousId": "a"}


def read(body: Any, shape: str = "segment") -> Any:
    return read_messages(json.dumps(body).encode(), shape, bound=3, now=NOW)


@pytest.mark.parametrize("body", [VIEWED, [VIEWED], {"batch": [VIEWED]}])
def test_one_message_a_list_and_a_batch_are_the_same(body: Any) -> None:
    (event,) = read(body).events
    assert isinstance(event, Interaction)
    assert (event.user_id, event.item_id, event.event_time) == ("u", "p", NOW)


def test_each_kind_of_event_goes_to_its_topic() -> None:
    found = [letter_of(event) for event in read([VIEWED, LOGIN]).events]
    assert [(letter.topic, letter.key) for letter in found] == [("interactions", "u"), ("identities", "a")]


def test_a_bad_message_is_named_and_one_without_meaning_is_counted() -> None:
    found = read([VIEWED | {"userId": "null"}, VIEWED | {"event": "Cart Viewed"}, 7])
    assert (found.accepted, found.ignored) == (0, 1)
    assert [(refusal.index, refusal.field) for refusal in found.refused] == [(0, "userId"), (2, "")]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 50_000, json.dumps([VIEWED] * 4).encode()])
def test_a_body_without_messages_or_with_too_many_is_refused_whole(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        read_messages(body, "segment", bound=3, now=NOW)


def send(web: Client, body: Any, key: dict[str, str], shape: str = "segment") -> Any:
    return web.post(f"/events/{shape}/", json.dumps(body), content_type="application/json", headers=key)


def test_the_door_takes_messages_and_names_the_bad_ones(web: Client, post: Post, key: dict[str, str]) -> None:
    answer = send(web, [VIEWED, VIEWED | {"event": "Cart Viewed"}, VIEWED | {"userId": None}], key)
    assert answer.status_code == 202
    assert answer.json()["accepted"] == answer.json()["ignored"] == 1
    assert answer.json()["refused"] == [{"index": 2, "field": "userId", "reason": "no id - at `$.userId`"}]
    assert [letter.topic for letter in post.letters] == ["interactions"]


def test_only_bad_messages_are_400(web: Client, post: Post, key: dict[str, str]) -> None:
    answer = send(web, VIEWED, key, "ga4")
    assert (answer.status_code, answer.json()["accepted"], post.letters) == (400, 0, [])
    assert "looks like segment" in answer.json()["refused"][0]["reason"]


def test_a_message_without_meaning_is_no_error(web: Client, post: Post, key: dict[str, str]) -> None:
    answer = send(web, VIEWED | {"event": "Cart Viewed"}, key)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 0, "ignored": 1, "refused": []})


def test_the_door_needs_the_key(web: Client, post: Post) -> None:
    assert send(web, VIEWED, {}).status_code == 401
