"""Intake: decodes posted events and gives a reason for each bad one.

Arrives: the body of a POST, either one JSON object or a list. Leaves: `Interaction` values and refusals.
Next: `serving.web.outbox` sends the events.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

import msgspec

from stream.events import Event, Identity, Interaction, InvalidEvent, decode, decoded
from stream.sources.admission import admitted

MAX_BODY_BYTES = 1024 * 1024

_E = TypeVar("_E", bound=Event)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FIELD = re.compile(r"at `\$\.(\w+)|field `(\w+)`|^(event_time)\b")
_list = msgspec.json.Decoder(list[msgspec.Raw])


class UnreadableBody(ValueError):
    """The body is not JSON, or it contains no event or too many. The message contains the reason."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why the event at `index` was refused. `field` is empty when no single field is wrong."""

    index: int
    field: str
    reason: str


def split(body: bytes, bound: int) -> Sequence[bytes]:
    """Return the JSON of each event: the body is one, or a list of 1 to `bound`. Raises `UnreadableBody`."""
    if not body.strip():
        raise UnreadableBody("the body is empty")
    if not body.lstrip().startswith(b"["):
        return [body]
    try:
        events = decoded(body, _list)
    except InvalidEvent as error:
        raise UnreadableBody(str(error)) from error
    if not 1 <= len(events) <= bound:
        raise UnreadableBody(f"{len(events)} events, not 1 to {bound}")
    return [bytes(event) for event in events]


def checked(raw: bytes, kind: type[_E], *, now: datetime) -> _E:
    """Return the event in the bytes: every door of the web process checks by this function. Raises `InvalidEvent`.

    An infinite number is refused, because JSON allows numbers beyond any float. Ids are read as those of files are.
    """
    event = decode(raw, kind, now=now)
    if _is_infinite(getattr(event, "value", None)):
        raise InvalidEvent("value is not a finite number - at `$.value`")
    if any(map(_is_infinite, getattr(event, "attributes", {}).values())):
        raise InvalidEvent("a number that is not finite - at `$.attributes`")
    if isinstance(event, Interaction):
        return cast("_E", admitted(event))
    return cast("_E", admitted(event)) if isinstance(event, Identity) else event


def field_of(raw: bytes, error: InvalidEvent) -> str:
    """Return the name of the field that the error is about, or "" when it is about no single field."""
    if found := _FIELD.search(str(error)):
        return next(filter(None, found.groups()), "")
    try:
        fields = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    named = fields.items() if isinstance(fields, dict) else ()
    return next((name for name, value in named if isinstance(value, str) and _CONTROL.search(value)), "")


def _is_infinite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
