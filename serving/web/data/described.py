"""Described: the OpenAPI description of the doors for items, users and logins.

Arrives: the event contract. Leaves: JSON schemas of bodies, and serializers of answers, which describe and do nothing
else. Next: the views of this room.
"""

from typing import Any

from django.conf import settings
from rest_framework import serializers

from serving.web.schema import BODY_REQUIRED, NAMES_SOMEBODY, JsonSchema, event_schema
from serving.web.serializers import IntakeSerializer, ProblemSerializer, RefusedPost
from stream.events import CatalogItem, Identity, ItemChange, UserAttributes

PROBLEMS = dict.fromkeys((401, 403, 408, 413, 415, 429, 503), ProblemSerializer)
WRITTEN: dict[int, Any] = {202: IntakeSerializer, 400: RefusedPost, **PROBLEMS}
"""The answers of a door that writes."""

TIME = "2026-01-31T12:00:00Z"

ITEMS: JsonSchema = event_schema(CatalogItem) | {
    "examples": [
        {
            "item_id": "sku-9",
            "title": "Green tea, 100 g",
            "categories": ["Drinks", "Tea"],
            "brand": "Leaf",
            "price": 3.5,
            "attributes": {"organic": True, "grams": 100},
            "url": "/p/sku-9",
            "image_url": "https://cdn.shop.example/sku-9.jpg",
            "stock": 14,
            "product_id": "green-tea",
        }
    ]
}
_CHANGES = [name for name in ItemChange.__struct_fields__ if name not in ("item_id", "event_time")]
PATCHES: JsonSchema = event_schema(ItemChange) | {
    "anyOf": [{"required": [name]} for name in _CHANGES if name != "attributes"]
    + [{"required": ["attributes"], "properties": {"attributes": {"minProperties": 1}}}],
    "examples": [{"item_id": "sku-9", "price": 3.2, "attributes": {"offer": True, "organic": None}}],
}
STOCKS: JsonSchema = {
    "type": "object",
    "properties": {name: PATCHES["properties"][name] for name in ("item_id", "stock", "event_time")},
    "required": ["item_id", "stock"],
    "additionalProperties": False,
    "examples": [{"item_id": "sku-9", "stock": 13}],
}
USERS: JsonSchema = event_schema(UserAttributes) | {
    "examples": [{"user_id": "u42", "attributes": {"segment": "new", "newsletter": True}, "event_time": TIME}]
}
_login = event_schema(Identity)
_names = {"anonymous_id": NAMES_SOMEBODY, "user_id": NAMES_SOMEBODY}
LOGINS: JsonSchema = _login | {
    "properties": {
        name: part | ({"pattern": _names[name]} if name in _names else {})
        for name, part in _login["properties"].items()
    },
    "examples": [{"anonymous_id": "anon-9f86d081884c7d659a2feaa0c55ad015", "user_id": "u42", "event_time": TIME}],
}


def accepts(schema: JsonSchema, *, item: bool = False) -> dict[str, JsonSchema]:
    """Return the description of a body: one object or a list; of one `item`, whose id stands in the path."""
    if not item:
        many = {"type": "array", "items": schema, "minItems": 1, "maxItems": settings.MAX_POSTED_EVENTS}
        return {"application/json": {"oneOf": [schema, many]}}
    of_path = "item_id" if "item_id" in schema["properties"] else "user_id"
    single = schema | {
        "properties": {name: part for name, part in schema["properties"].items() if name != of_path},
        "required": [name for name in schema["required"] if name != of_path],
        "examples": [{name: value for name, value in one.items() if name != of_path} for one in schema["examples"]],
        BODY_REQUIRED: True,
    }
    return {"application/json": single if single["required"] else {k: v for k, v in single.items() if k != "required"}}


class ItemSerializer(serializers.Serializer[object]):
    """What is known of an item."""

    item_id = serializers.CharField()
    title = serializers.CharField()
    categories = serializers.ListField(child=serializers.CharField())
    brand = serializers.CharField()
    price = serializers.FloatField(allow_null=True)
    available = serializers.BooleanField(help_text="whether it can be bought now: it is offered and in stock")
    attributes = serializers.DictField()
    url = serializers.CharField()
    image_url = serializers.CharField()
    stock = serializers.IntegerField(allow_null=True, help_text="null: not counted")
    product_id = serializers.CharField(allow_null=True)


class RecentItemSerializer(serializers.Serializer[object]):
    """An item that a shopper touched."""

    item_id = serializers.CharField()
    event_time = serializers.DateTimeField()


class KnownUserSerializer(serializers.Serializer[object]):
    """What the readers know of a shopper."""

    user_id = serializers.CharField()
    recent = RecentItemSerializer(many=True, help_text="newest first")


class TokenSerializer(serializers.Serializer[object]):
    """A token of a shopper."""

    user_id = serializers.CharField()
    token = serializers.CharField()
    seconds = serializers.IntegerField(help_text="how long it holds")


class ErrandSerializer(serializers.Serializer[object]):
    """What became of an erasure or an export."""

    receipt = serializers.CharField()
    state = serializers.ChoiceField(["waiting", "running", "done", "failed"])
    said = serializers.CharField(allow_blank=True, help_text="what was done, or why it waits or failed")
    asked_at = serializers.DateTimeField()
    changed_at = serializers.DateTimeField()


ERRAND: dict[int, Any] = {202: ErrandSerializer, **dict.fromkeys((400, 401, 403, 429, 503), ProblemSerializer)}
STATE: dict[int, Any] = {**ERRAND, 200: ErrandSerializer, 404: ProblemSerializer}
del STATE[202]
EXPORT: dict[int, Any] = {**ERRAND, 200: {"type": "object", "additionalProperties": True}, 404: ProblemSerializer}
