"""Entries: takes items and users, as Gorse's clients send them, and tells an item.

Arrives: `Item`, `ItemPatch` and `User` of Gorse. Leaves: catalogue entries, changes, tombstones and attributes; and an
errand to forget a user. Next: `serving.web.outbox`.
"""

from collections.abc import Collection, Sequence
from typing import Any, TypeVar

import msgspec
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from serving.storefront import UnknownItem
from serving.web import bodies, parameters, services
from serving.web.answers import Refused
from serving.web.authentication import AdminKey, ApiKey, ReadOrWrite
from serving.web.criteria import only_known
from serving.web.data import erasures
from serving.web.data.items import known_item
from serving.web.gorse import shapes
from serving.web.json_body import read_body
from serving.web.outbox import Letter, letter_of
from serving.web.views import RawJsonParser
from stream.events import CATALOG, MAX_ATTRIBUTES, ItemChange

_T = TypeVar("_T", bound=msgspec.Struct)


class ItemsView(APIView):
    """`/api/item` and `/api/items`."""

    authentication_classes = (ApiKey,)
    parser_classes = (RawJsonParser,)

    def post(self, request: Request) -> Response:
        """Insert items, or replace those that exist."""
        now = bodies.current_time()
        events = [shapes.entry(one, now=now) for one in read_many(request, shapes.Entry)]
        return written([letter_of(event) for event in events])


class ItemView(ReadOrWrite, APIView):
    """`/api/item/<item_id>`."""

    parser_classes = (RawJsonParser,)

    def get(self, request: Request, item_id: str) -> Response:
        """Return an item."""
        only_known(request.query_params, ())
        item = known_item(parameters.identifier(item_id, "item_id"))
        return Response(
            {
                "ItemId": item.item_id,
                "IsHidden": not item.available,
                "Labels": shapes.gorse_labels(item.attributes),
                "Categories": item.categories,
                "Timestamp": str(item.attributes.get(shapes.TIMESTAMP, "")),
                "Comment": item.title,
            }
        )

    def patch(self, request: Request, item_id: str) -> Response:
        """Change the fields that are not null."""
        item_id = parameters.identifier(item_id, "item_id")
        patch = read_body(bodies.body_of(request), msgspec.json.Decoder(shapes.EntryPatch))
        now = bodies.current_time()
        fields: dict[str, Any] = {
            "title": patch.comment,
            "categories": patch.categories,
            "available": None if patch.is_hidden is None else not patch.is_hidden,
        }
        changed = {name: value for name, value in fields.items() if value is not None}
        attributes: dict[str, Any] = shapes.timestamp_of(patch.timestamp or "", now=now)
        if patch.labels is not None:
            attributes = {**_without_labels(item_id), **shapes.labels_of(patch.labels), **attributes}
        if not changed and not attributes:
            return written([])
        if sum(value is not None for value in attributes.values()) > MAX_ATTRIBUTES:
            raise Refused("Labels", f"more than {MAX_ATTRIBUTES}, the timestamp among them")
        # To replace all labels names the old ones and the new ones: twice as many as one change may have.
        named = list(attributes.items())
        parts = [named[start : start + MAX_ATTRIBUTES] for start in range(0, max(1, len(named)), MAX_ATTRIBUTES)]
        letters = []
        for number, part in enumerate(parts):
            fields = changed if number == 0 else {}
            event = ItemChange(event_time=now, item_id=item_id, attributes=dict(part), **fields)
            letters.append(letter_of(shapes.valid(event, now=now)))
        return written(letters, rows=1)

    def delete(self, request: Request, item_id: str) -> Response:
        """Take an item out of the shop. What users did with it stays, unlike with Gorse."""
        only_known(request.query_params, ())
        return written([Letter(CATALOG, None, key=parameters.identifier(item_id, "item_id"))])


class UsersView(APIView):
    """`/api/user` and `/api/users`."""

    authentication_classes = (ApiKey,)
    parser_classes = (RawJsonParser,)

    def post(self, request: Request) -> Response:
        """Insert users, or replace the attributes of those that exist."""
        now = bodies.current_time()
        events = [shapes.user_attributes(one, now=now) for one in read_many(request, shapes.User)]
        return written([letter_of(event) for event in events])


class UserView(APIView):
    """`/api/user/<user_id>`."""

    authentication_classes = (AdminKey,)

    def delete(self, request: Request, user_id: str) -> Response:
        """Forget a user, with all events, everywhere. It needs the operator's key, and is done within minutes."""
        only_known(request.query_params, ())
        erasures.asked("forget", parameters.identifier(user_id, "user_id"))
        return Response({"RowAffected": 1})


def read_many(request: Request, kind: type[_T], allowed: Collection[str] = ()) -> Sequence[_T]:
    """Return the structs in the body, one or a list. Raises `Refused` with the first field that is wrong."""
    decoder = msgspec.json.Decoder(kind)
    return [read_body(raw, decoder) for raw in bodies.objects(request, allowed=allowed)]


def written(letters: Sequence[Letter], *, rows: int | None = None) -> Response:
    """Send the letters; 200 after Kafka has them. `rows`: what they write; None: each a row. Raises `NotDelivered`."""
    if letters:
        services.deliver(letters)
    return Response({"RowAffected": len(letters) if rows is None else rows})


def _without_labels(item_id: str) -> dict[str, None]:
    """Return the labels that the item has, to be removed: Gorse replaces all of them."""
    try:
        known = known_item(item_id).attributes
    except UnknownItem:
        return {}
    return {name: None for name in known if name != shapes.TIMESTAMP}
