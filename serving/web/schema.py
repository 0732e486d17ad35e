"""Schema: the parts of the OpenAPI description that say which requests are valid.

Arrives: the event contract and the bounds of parameters. Leaves: JSON schemas. Next: `serving.web.views` puts them
into the description, from which clients are made.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from graphstore.redis.asked import MAX_REASON_LENGTH
from serving.config import TRACKABLE
from serving.rules.criteria import MAX_NAMES, MAX_PRICE
from serving.slots.slot import Kind, Slot
from serving.web.parameters import MAX_ITEMS, MAX_NAME_LENGTH
from serving.web.track import ANONYMOUS
from serving.web.track import MAX_EVENTS as MAX_TRACKED
from stream.events import MAX_ID_LENGTH, MAX_QUANTITY, Event, Interaction

JsonSchema = dict[str, Any]

BODY_REQUIRED = "x-sagestream-body-required"
"""Marks the schema of a body that must be there though no field of it is required. It is taken away at the end."""

_NO_NUL = "^[^\\u0000]+$"
_NO_NUL_OR_EMPTY = "^[^\\u0000]*$"
_URL = r"^(https?://|/(?!/)|$)"
"""As `stream.events.Url`."""
URL_FORMAT = "page-address"
"""What stands for this pattern, which few generators of requests can read."""
NOT_BLANK = r"^[^\u0000]*[^\s\u0000\u001c-\u001f\u0085\ufeff][^\u0000]*$"
"""A text without NUL that does not consist of spaces. Python and JSON Schema know different spaces: here all count."""

NAMES_SOMEBODY = r"^(?!\s*-?\s*$)[^\u0000-\u001f\u007f]+$"
"""An id of an event, as `stream.sources.admission` reads it; the longer words for no value are told in the docs."""
NAMES_AN_ORDER = r"^[^\u0000-\u001f\u007f]+$"

ID: JsonSchema = {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH, "pattern": _NO_NUL}
ITEM_COUNT: JsonSchema = {"type": "integer", "minimum": 1, "maximum": MAX_ITEMS}
NAME: JsonSchema = {"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH, "pattern": _NO_NUL}
PRICE: JsonSchema = {"type": "number", "minimum": 0, "maximum": MAX_PRICE}


def many(one: JsonSchema) -> JsonSchema:
    """Return the schema of a parameter that may come several times."""
    return {"type": "array", "items": one, "maxItems": MAX_NAMES}


SLOT_KIND = "x-sagestream-slots"
"""Marks the schema of a slot's name while the description is made: the kind of the slots, or "" for all of them."""


def slot_of(kind: Kind | None) -> JsonSchema:
    """Return the schema of a slot's name. `name_slots` gives it the names that there are when it is read."""
    return {"type": "string", SLOT_KIND: kind or ""}


def name_slots(result: JsonSchema, **_: object) -> JsonSchema:
    """Give each name of a slot the slots of now: the file may have changed since the start."""
    from serving.web import services  # late: Django reads its settings, which name this function, before

    described: JsonSchema = _named(result, services.slot_book().current())
    return described


def _named(part: Any, slots: Mapping[str, Slot]) -> Any:
    """Return a new description, because the views give the same objects again at the next request."""
    if isinstance(part, list):
        return [_named(value, slots) for value in part]
    if not isinstance(part, dict):
        return part
    found = {name: _named(value, slots) for name, value in part.items() if name != SLOT_KIND}
    if SLOT_KIND in part:
        found["enum"] = sorted(name for name, slot in slots.items() if part[SLOT_KIND] in ("", slot.kind))
    return found


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
        "item_id": ID | {"pattern": NAMES_SOMEBODY},
        "value": {"type": ["number", "null"]},
        "quantity": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": MAX_QUANTITY},
        "request_id": {"anyOf": [ID, {"type": "null"}], "description": "of the list that led to it"},
        "position": {"type": ["integer", "null"], "minimum": 0, "maximum": MAX_ITEMS - 1},
        "order_id": {"anyOf": [ID | {"pattern": NAMES_AN_ORDER}, {"type": "null"}]},
        "currency": {"anyOf": [{"type": "string", "pattern": "^[A-Z]{3}$"}, {"type": "null"}]},
    },
    "required": ["event_id", "event_type", "item_id"],
    "additionalProperties": False,
}

TRACKED: JsonSchema = {
    "type": "object",
    "properties": {
        "user_id": {**ID, "pattern": r"^(?!-?$)[^\s\u0000-\u001f\u007f]+$", "description": "the shopper"},
        "events": {"type": "array", "items": _TOLD, "maxItems": MAX_TRACKED},
        "token": {
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": 128,
            "description": "of `/users/<id>/token/`",
        },
        "anonymous_id": {
            "type": ["string", "null"],
            "pattern": f"^{ANONYMOUS.pattern}$",
            "description": "the visitor who has logged in as the shopper, with the token",
        },
    },
    "required": ["user_id"],
    "anyOf": [
        {"required": ["events"], "properties": {"events": {"minItems": 1}}},
        {
            "required": ["anonymous_id", "token"],
            "properties": {name: {"type": "string"} for name in ("anonymous_id", "token")},
        },
    ],
    "dependentRequired": {"anonymous_id": ["token"]},
    "additionalProperties": False,
}
"""The body of a message that tells what a shopper does."""

RETRAIN: JsonSchema = {
    "type": "object",
    "properties": {
        "full": {"type": "boolean", "default": False, "description": "train GraphSAGE from scratch"},
        "why": {"type": "string", "minLength": 1, "maxLength": MAX_REASON_LENGTH, "pattern": NOT_BLANK},
    },
    "additionalProperties": False,
}
"""The body of a request for a retrain."""


def own_doors(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Leave out the doors that another shop's documentation describes (`serving.web.gorse`)."""
    return [one for one in endpoints if not one[3].cls.__module__.startswith("serving.web.gorse.")]


def require_bodies(result: JsonSchema, **_: object) -> JsonSchema:
    """Say of each body that it must be there, unless an empty object would do. drf-spectacular leaves it open."""
    for operation in (operation for path in result["paths"].values() for operation in path.values()):
        for kind in operation.get("requestBody", {}).get("content", {}).values():
            given = kind["schema"]
            if BODY_REQUIRED in given or "oneOf" in given or given.get("required"):
                operation["requestBody"]["required"] = True
            # A new object, because the given one is described again at the next request.
            kind["schema"] = {name: part for name, part in given.items() if name != BODY_REQUIRED}
    return result


def event_schema(kind: type[Event], *, timed: bool = False) -> JsonSchema:
    """Return the schema of an event, from the struct that decodes it, without references.

    The time need not be given, unless it must be `timed`: the door then fills in its own.
    """
    definitions = msgspec.json.schema(kind)["$defs"]
    event: JsonSchema = _resolved({"$ref": f"#/$defs/{kind.__name__}"}, definitions)
    required = [name for name in event["required"] if timed or name != "event_time"]
    return {**event, "required": required, "additionalProperties": False}


def _interaction() -> JsonSchema:
    found = event_schema(Interaction, timed=True)
    named = {name: found["properties"][name] | {"pattern": NAMES_SOMEBODY} for name in ("user_id", "item_id")}
    order = {"anyOf": [ID | {"pattern": NAMES_AN_ORDER}, {"type": "null"}]}
    return {**found, "properties": found["properties"] | named | {"order_id": order}}


def _resolved(part: Any, definitions: JsonSchema) -> Any:
    """Return the schema without references, with what only the decoder knows: no text has a NUL."""
    if isinstance(part, list):
        return [_resolved(one, definitions) for one in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _resolved(definitions[part["$ref"].rsplit("/", 1)[1]], definitions)
    # The name of a struct is its title; a field of this name has a schema.
    kept = {key: value for key, value in part.items() if key != "title" or isinstance(value, dict)}
    found = {key: _resolved(value, definitions) for key, value in kept.items()}
    if found.get("pattern") == _URL:
        described = f"https://…, http://…, a path of the shop, or empty; at most {found['maxLength']} characters"
        return {"type": "string", "format": URL_FORMAT, "description": described}
    is_text = (
        found.get("type", "string" if "maxLength" in found else None) == "string"
    )  # names of properties have no type
    if is_text and not found.keys() & {"pattern", "format", "enum"}:
        found["pattern"] = _NO_NUL if found.get("minLength") else _NO_NUL_OR_EMPTY
    return found
