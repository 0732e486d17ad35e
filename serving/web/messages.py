"""Messages: the doors for messages of trackers, which a shop sends as they are.

Arrives: the body of a POST: one message, a list, or Segment's `{"batch": […]}`. Leaves: events of the contract for the
outbox, and a reason for each message that should give an event and cannot. Next: `serving.web.views`.

A message without a time happened when it arrived. One that says nothing about an item gives no event, and is counted.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from serving.web.intake import Refusal, UnreadableBody
from stream.events import InvalidEvent, decoded
from stream.sources.shapes.fields import NotAnEvent
from stream.sources.shapes.registry import SHAPES, translated
from stream.sources.shapes.shape import Translated

DOORS = ("segment", "ga4", "cloudevents")
"""The shapes that trackers post. The others come in files."""

_decoder = msgspec.json.Decoder()


@dataclass
class Read:
    """What a body holds. `ignored` counts the messages that mean nothing to a recommender."""

    events: list[Translated] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    accepted: int = 0
    ignored: int = 0


def read_messages(body: bytes, shape: str, *, bound: int, now: datetime) -> Read:
    """Return the events of the messages in the body, at most `bound` messages. Raises `UnreadableBody`."""
    done = Read()
    for index, message in enumerate(_messages(body, bound)):
        try:
            if not isinstance(message, dict):
                raise NotAnEvent("", "no JSON object")
            events = translated(SHAPES[shape], message, now=now, received=now)
        except NotAnEvent as error:
            done.refused.append(Refusal(index, error.field, str(error)))
            continue
        done.events += events
        done.accepted += bool(events)
        done.ignored += not events
    return done


def _messages(body: bytes, bound: int) -> list[Any]:
    if not body.strip():
        raise UnreadableBody("the body is empty")
    try:
        found = decoded(body, _decoder)
    except InvalidEvent as error:
        raise UnreadableBody(str(error)) from error
    if isinstance(found, dict) and isinstance(found.get("batch"), list):
        found = found["batch"]
    messages = found if isinstance(found, list) else [found]
    if not 1 <= len(messages) <= bound:
        raise UnreadableBody(f"{len(messages)} messages, not 1 to {bound}")
    return messages
