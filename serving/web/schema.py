"""Schema: the parts of the OpenAPI description that say which requests are valid.

Arrives: the event contract and the bounds of parameters. Leaves: JSON schemas. Next: `serving.web.views` puts them
into the description, from which clients are made.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from graphstore.redis.asked import MAX_REASON_LENGTH
from serving.config import TRACKABLE
from serving.web.parameters import DEFAULT_ITEMS, MAX_ITEMS
from serving.web.track import MAX_EVENTS as MAX_TRACKED
from stream.events import MAX_ID_LENGTH, Interaction

JsonSchema = dict[str, Any]

_NO_NUL = "^[^\\u0000]+$"
_NOT_BLANK = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"

ID: JsonSchema = {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH, "pattern": _NO_NUL}
ITEM_COUNT: JsonSchema = {"type": "integer", "minimum": 1, "maximum": MAX_ITEMS, "default": DEFAULT_ITEMS}


def slots(names: Collection[str]) -> JsonSchema:
    """Return the schema of a slot: one of the configured names."""
    return {"type": "string", "enum": sorted(names)}


def posted_events(bound: int) -> JsonSchema:
    """Return the schema of the body of a post: one event, or a list of 1 to `bound` events."""
    event = _interaction()
    return {"oneOf": [event, {"type": "array", "items": event, "minItems": 1, "maxItems": bound}]}


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


def _inline(part: JsonSchema, definitions: JsonSchema) -> JsonSchema:
    if "$ref" in part:
        return dict(definitions[part["$ref"].rsplit("/", 1)[1]])
    if "anyOf" in part:
        return {**part, "anyOf": [_inline(choice, definitions) for choice in part["anyOf"]]}
    if part.get("maxLength") == MAX_ID_LENGTH:
        return {**part, "pattern": _NO_NUL}
    return part
