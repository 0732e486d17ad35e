"""Bodies: reads one object or a list of objects as events of one kind, and sends the good ones to Kafka.

Arrives: the body of a request. Leaves: letters for the outbox, and a reason for each bad object. Next: the worker.

The objects are the events of the contract (`stream.events`), with what the door knows filled in: the time, where none
is given, and the id of the path.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from serving.web import intake, services
from serving.web.answers import Refused
from serving.web.criteria import only_known
from serving.web.intake import Refusal
from serving.web.outbox import Letter, letter_of
from stream.events import InvalidEvent, decoded
from stream.routes import Event

_E = TypeVar("_E", bound=Event)

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_anything = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Given:
    """What a body holds: letters for the good objects, and a reason for each bad one."""

    letters: list[Letter]
    refused: list[Refusal]


def body_of(request: Request, allowed: Collection[str] | None = ()) -> bytes:
    """Return the body. Raises `Refused` for parameters that are not `allowed`; None allows all."""
    if allowed is not None:
        only_known(request.query_params, allowed)
    return request.data if isinstance(request.data, bytes) else b""


def objects(request: Request, *, single: bool = False, allowed: Collection[str] = ()) -> Sequence[bytes]:
    """Return the JSON of each object: one, or a list where it is not `single`. Raises `Refused` for the whole body."""
    body = body_of(request, allowed)
    try:
        if single and body.lstrip().startswith(b"["):
            raise intake.UnreadableBody("a list: this address takes one object")
        return intake.split(body, 1 if single else settings.MAX_POSTED_EVENTS)
    except intake.UnreadableBody as error:
        raise Refused("", str(error)) from error


def read(objects: Sequence[bytes], kind: type[_E], *, now: datetime, fixed: Mapping[str, str] | None = None) -> Given:
    """Return the events in the objects. `fixed` are the fields that the path says; an object may only repeat them."""
    return each(objects, lambda raw: letter_from(raw, kind, now=now, fixed=fixed))


def each(objects: Sequence[bytes], letter: Callable[[bytes], Letter]) -> Given:
    """Return the letter of each object, or the reason of `InvalidEvent`."""
    given = Given([], [])
    for index, raw in enumerate(objects):
        try:
            given.letters.append(letter(raw))
        except InvalidEvent as error:
            given.refused.append(Refusal(index, intake.field_of(raw, error), str(error)))
    return given


def answer(given: Given) -> Response:
    """Send the letters; 202 after Kafka has them, 400 when no object was good. Raises `NotDelivered`."""
    if given.letters:
        services.deliver(given.letters)
    answer = {"accepted": len(given.letters), "refused": given.refused}
    return Response(answer, status=202 if given.letters else 400)


def current_time() -> datetime:
    """Return the time of this request."""
    return datetime.now(UTC)


def letter_from(raw: bytes, kind: type[_E], *, now: datetime, fixed: Mapping[str, str] | None = None) -> Letter:
    """Return the letter of the event in one object, as `read` does. Raises `InvalidEvent`."""
    known = fixed or {}
    fields: dict[str, Any] = decoded(raw, _fields)
    for name, value in known.items():
        if name in fields and decoded(fields[name], _anything) != value:
            raise InvalidEvent(f"not the {name} of the address - at `$.{name}`")
    return letter_of(intake.checked(_encode({"event_time": now, **fields, **known}), kind, now=now))
