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

MAX_BODY_BYTES = 1024 * 1024

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
    for index, raw in enumerate(_events(body, bound)):
        try:
            accepted.append(_finite(decode(raw, Interaction, now=now)))
        except InvalidEvent as error:
            reason = str(error)
            found = _FIELD.search(reason)
            refused.append(Refusal(index, next(filter(None, found.groups()), "") if found else "", reason))
    return accepted, refused


def _events(body: bytes, bound: int) -> Sequence[bytes]:
    if not body.strip():
        raise UnreadableBody("the body is empty")
    if not body.lstrip().startswith(b"["):
        return [body]
    try:
        events = _split(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableBody(str(error)) from error
    if not 1 <= len(events) <= bound:
        raise UnreadableBody(f"{len(events)} events, not 1 to {bound}")
    return [bytes(event) for event in events]


def _finite(event: Interaction) -> Interaction:
    """Return the event. Raises `InvalidEvent` for an infinite value, because JSON allows numbers beyond any float."""
    if event.value is not None and not math.isfinite(event.value):
        raise InvalidEvent("value is not a finite number - at `$.value`")
    return event


def letters(events: Sequence[Interaction]) -> list[Letter]:
    """Return a letter for each event. The key is the user id, so that a user's events keep their order."""
    return [Letter(INTERACTIONS, event, key=event.user_id) for event in events]
