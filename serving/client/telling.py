"""Telling: the calls that tell what shoppers did and saw, and what the operator wants."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from serving.client.answers import Asked, SeenCount, Taken, plain_json
from serving.client.call import Call, Repeat, path
from serving.client.told import Event

_read_taken = msgspec.json.Decoder(Taken).decode
_read_seen = msgspec.json.Decoder(SeenCount).decode
_read_asked = msgspec.json.Decoder(Asked).decode

Tracker = Literal["segment", "ga4", "cloudevents"]


def events(events: Sequence[Event]) -> Call[Taken]:
    """Tell at most 500 events now. Raises `BadRequest` when none was good. `buffer` tells them in the background."""
    return Call("POST", path("events"), _read_taken, body=events)


def messages(tracker: Tracker, messages: Sequence[Mapping[str, Any]]) -> Call[Taken]:
    """Hand on messages of a tracker as they are. Without ids of their own they count as often as they arrive."""
    return Call("POST", path("events", tracker), _read_taken, body=messages, repeat=Repeat.UNTOUCHED)


def seen(request_id: str, user_id: str, positions: Sequence[int]) -> Call[int]:
    """Tell which positions of a list the shopper has truly seen; how many were taken. Needs no key."""
    body = {"request_id": request_id, "user_id": user_id, "positions": positions}
    return Call("POST", path("seen"), lambda raw: _read_seen(raw).seen, body=body)


def track(user_id: str, events: Sequence[Mapping[str, Any]], *, token: str | None = None) -> Call[Taken]:
    """Tell what a page tells, with the shopper's token in place of a key: for apps, which cannot hold a key."""
    body = {"user_id": user_id, "events": events, **({} if token is None else {"token": token})}
    return Call("POST", path("track"), _read_taken, body=body)


def retrain(*, full: bool = False, why: str = "") -> Call[Asked]:
    """Ask for a new model. Needs the operator's key."""
    body = {"full": full, **({"why": why} if why else {})}
    return Call("POST", path("retrain"), _read_asked, body=body, repeat=Repeat.UNTOUCHED)


def description() -> Call[dict[str, Any]]:
    """The OpenAPI description of the server."""
    return Call("GET", path("api", "schema"), plain_json)
