"""Intake: decodes posted events and gives a reason for each bad one.

Arrives: the body of a POST, either one JSON object or a list. Leaves: `Interaction` values and refusals.
Next: `serving.web.outbox` sends the events.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from serving.web.outbox import Letter
from stream.events import INTERACTIONS, Interaction, InvalidEvent, decode
from stream.sources.admission import admitted

MAX_BODY_BYTES = 1024 * 1024
TOO_DEEP = "the JSON is nested too deep"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FIELD = re.compile(r"at `\$\.(\w+)|field `(\w+)`|^(event_time)\b")
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


class UnreadableBody(ValueError):
    """The body is not JSON, or it contains no event or too many. The message contains the reason."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why the event at `index` was refused. `field` is empty when no single field is wrong."""

    index: int
    field: str
    reason: str


def read_events(body: bytes, *, bound: int, now: datetime) -> tuple[list[Interaction], list[Refusal]]:
    """Return the good events and the refusals, at most `bound` events together. Raises `UnreadableBody`."""
    accepted: list[Interaction] = []
    refused: list[Refusal] = []
    for index, raw in enumerate(split(body, bound)):
        try:
            accepted.append(checked(raw, now=now))
        except InvalidEvent as error:
            refused.append(Refusal(index, field_of(raw, error), str(error)))
    return accepted, refused


def split(body: bytes, bound: int) -> Sequence[bytes]:
    """Return the JSON of each event: the body is one, or a list of 1 to `bound`. Raises `UnreadableBody`."""
    if not body.strip():
        raise UnreadableBody("the body is empty")
    if not body.lstrip().startswith(b"["):
        return [body]
    try:
        events = _split(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableBody(str(error)) from error
    except RecursionError as error:
        raise UnreadableBody(TOO_DEEP) from error
    if not 1 <= len(events) <= bound:
        raise UnreadableBody(f"{len(events)} events, not 1 to {bound}")
    return [bytes(event) for event in events]


def checked(raw: bytes, *, now: datetime) -> Interaction:
    """Return the event in the bytes: every door of the web process checks by this function. Raises `InvalidEvent`.

    An infinite value is refused, because JSON allows numbers beyond any float. Ids are read as those of files are.
    """
    try:
        event = decode(raw, Interaction, now=now)
    except RecursionError as error:
        raise InvalidEvent(TOO_DEEP, "json") from error
    if event.value is not None and not math.isfinite(event.value):
        raise InvalidEvent("value is not a finite number - at `$.value`")
    return admitted(event)


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


def letters(events: Sequence[Interaction]) -> list[Letter]:
    """Return a letter for each event. The key is the user id, so that a user's events keep their order."""
    return [Letter(INTERACTIONS, event, key=event.user_id) for event in events]
