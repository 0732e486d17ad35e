"""Schema: the parts of the OpenAPI description that say which requests are valid.

Arrives: the event contract and the bounds of parameters. Leaves: JSON schemas. Next: `serving.web.views` puts them
into the description, from which clients are made.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from graphstore.redis.asked import MAX_REASON_LENGTH
from serving.config import TRACKABLE
from serving.slots.slot import Kind, Slot
from serving.web.parameters import MAX_ITEMS, MAX_NAME_LENGTH
from serving.web.track import MAX_EVENTS as MAX_TRACKED
from stream.events import MAX_ID_LENGTH, Interaction

JsonSchema = dict[str, Any]

MAX_PRICE = 1e9
"""As `serving.rules.criteria.Price`."""

_NO_NUL = "^[^\\u0000]+$"
_NOT_BLANK = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"

ID: JsonSchema = {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH, "pattern": _NO_NUL}
ITEM_COUNT: JsonSchema = {"type": "integer", "minimum": 1, "maximum": MAX_ITEMS}
NAME: JsonSchema = {"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH, "pattern": _NO_NUL}
PRICE: JsonSchema = {"type": "number", "minimum": 0, "maximum": MAX_PRICE}

SLOT_KIND = "x-sagestream-slots"
"""Marks the schema of a slot's name while the description is made: the kind of the slots, or "" for all of them."""


def slot_of(kind: Kind | None) -> JsonSchema:
    """Return the schema of a slot's name. `name_slots` gives it the names that there are when it is read."""
    return {"type": "string", SLOT_KIND: kind or ""}


def name_slots(result: JsonSchema, **_: object) -> JsonSchema:
    """Give each name of a slot the slots of now: the file may have changed since the start."""
    from serving.web import services  # late: Django reads its settings, which name this function, before

    _name(result, services.slot_book().current())
    return result


def _name(part: object, slots: Mapping[str, Slot]) -> None:
    if isinstance(part, dict):
        if SLOT_KIND in part:
            kind = part.pop(SLOT_KIND)
            part["enum"] = sorted(name for name, slot in slots.items() if kind in ("", slot.kind))
        for value in part.values():
            _name(value, slots)
    elif isinstance(part, list):
        for value in part:
            _name(value, slots)


def lists() -> JsonSchema:
    """Return the schema of the body that asks for several lists, from the structs that decode it."""
    from serving.web.lists_body import Lists  # late: it needs Django's settings

    definitions = msgspec.json.schema(Lists)["$defs"]
    body: JsonSchema = _resolved({"$ref": f"#/$defs/{Lists.__name__}"}, definitions)
    names = body["properties"]["slots"]["items"]["anyOf"]
    for choice in names:
        if choice["type"] == "string":
            choice[SLOT_KIND] = ""
        else:
            choice["properties"]["slot"][SLOT_KIND] = ""
    return body


def posted_events(bound: int) -> JsonSchema:
    """Return the schema of the body of a post: one event, or a list of 1 to `bound` events."""
    event = _interaction()
    return {"oneOf": [event, {"type": "array", "items": event, "minItems": 1, "maxItems": bound}]}


def posted_messages(bound: int) -> JsonSchema:
    """Return the schema of the body of a post of messages. What is in a message is its tracker's own contract."""
    message: JsonSchema = {"type": "object"}
    listed: JsonSchema = {"type": "array", "items": message, "minItems": 1, "maxItems": bound}
    return {"anyOf": [message, listed]}


SEEN: JsonSchema = {
    "type": "object",
    "properties": {
        "request_id": {**ID, "description": "as the list has it"},
        "user_id": {**ID, "description": "the shopper for whom the list was fetched"},
        "positions": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": MAX_ITEMS - 1},
            "minItems": 1,
            "maxItems": MAX_ITEMS,
        },
    },
    "required": ["request_id", "user_id", "positions"],
    "additionalProperties": False,
}
"""The body of a message that says what was seen."""

_TOLD: JsonSchema = {
    "type": "object",
    "properties": {
        "event_id": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": _NO_NUL},
        "event_type": {"type": "string", "enum": list(TRACKABLE)},
        "item_id": ID,
        "value": {"type": ["number", "null"]},
        "quantity": {"type": ["integer", "null"], "minimum": 1, "maximum": 1_000_000},
        "request_id": {"anyOf": [ID, {"type": "null"}], "description": "of the list that led to it"},
        "position": {"type": ["integer", "null"], "minimum": 0, "maximum": MAX_ITEMS - 1},
        "order_id": {"anyOf": [ID, {"type": "null"}]},
        "currency": {"anyOf": [{"type": "string", "pattern": "^[A-Z]{3}$"}, {"type": "null"}]},
    },
    "required": ["event_id", "event_type", "item_id"],
    "additionalProperties": False,
}

TRACKED: JsonSchema = {
    "type": "object",
    "properties": {
        "user_id": {**ID, "description": "the shopper"},
        "events": {"type": "array", "items": _TOLD, "maxItems": MAX_TRACKED},
        "token": {"type": "string", "minLength": 1, "maxLength": 128, "description": "from `/users/<id>/token/`"},
        "anonymous_id": {**ID, "description": "the visitor who has logged in as the shopper"},
    },
    "required": ["user_id"],
    "additionalProperties": False,
}
"""The body of a message that tells what a shopper does."""

RETRAIN: JsonSchema = {
    "type": "object",
    "properties": {
        "full": {"type": "boolean", "default": False, "description": "train GraphSAGE from scratch"},
        "why": {"type": "string", "minLength": 1, "maxLength": MAX_REASON_LENGTH, "pattern": _NOT_BLANK},
    },
    "additionalProperties": False,
}
"""The body of a request for a retrain."""


def require_bodies(result: JsonSchema, **_: object) -> JsonSchema:
    """Say of each body that it must be there, unless an empty object would do. drf-spectacular leaves it open."""
    for operation in (operation for path in result["paths"].values() for operation in path.values()):
        for kind in operation.get("requestBody", {}).get("content", {}).values():
            if "oneOf" in kind["schema"] or kind["schema"].get("required"):
                operation["requestBody"]["required"] = True
    return result


def _interaction() -> JsonSchema:
    """Return the schema of an interaction, from the struct that decodes it, without references."""
    definitions = msgspec.json.schema(Interaction)["$defs"]
    event: JsonSchema = definitions[Interaction.__name__]
    event["properties"] = {name: _inline(part, definitions) for name, part in event["properties"].items()}
    return event


def _resolved(part: Any, definitions: JsonSchema) -> Any:
    """Return the schema without references, and with the bounds of ids."""
    if isinstance(part, list):
        return [_resolved(one, definitions) for one in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _resolved(definitions[part["$ref"].rsplit("/", 1)[1]], definitions)
    found = {key: _resolved(value, definitions) for key, value in part.items() if key != "title"}
    return {**found, "pattern": _NO_NUL} if found.get("type") == "string" and "maxLength" in found else found


def _inline(part: JsonSchema, definitions: JsonSchema) -> JsonSchema:
    if "$ref" in part:
        return dict(definitions[part["$ref"].rsplit("/", 1)[1]])
    if "anyOf" in part:
        return {**part, "anyOf": [_inline(choice, definitions) for choice in part["anyOf"]]}
    if part.get("maxLength") == MAX_ID_LENGTH:
        return {**part, "pattern": _NO_NUL}
    return part
