"""Items: the doors for the catalogue, whole entries, changes of some fields, deletes and stock.

Arrives: requests of the shop's server. Leaves: `CatalogItem` and `ItemChange` events, and tombstones; or an item as
readers see it. Next: `stream.worker.sink` stores them.
"""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from graphstore.catalogue import Item
from graphstore.redis import item_store
from serving.storefront import UnknownItem
from serving.web import bodies, parameters, schema, services
from serving.web.answers import Refused
from serving.web.authentication import ApiKey, ReadOrWrite
from serving.web.criteria import only_known
from serving.web.data.described import ITEMS, PATCHES, STOCKS, WRITTEN, accepts
from serving.web.data.described import ItemSerializer as Described
from serving.web.intake import Refusal
from serving.web.outbox import Letter
from serving.web.serializers import ProblemSerializer
from serving.web.views import RawJsonParser
from stream.events import CATALOG, CatalogItem, ItemChange, decoded, id_problem

_item_ids = OpenApiParameter(
    "item_id",
    {"type": "array", "items": schema.ID, "minItems": 1, "maxItems": settings.MAX_POSTED_EVENTS},
    required=True,
    description="repeat it for several",
)


class Stock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many of an item are left. None: not counted any more."""

    item_id: str
    stock: Annotated[int, msgspec.Meta(ge=0)] | None
    event_time: msgspec.Raw = msgspec.Raw()


_stock = msgspec.json.Decoder(Stock)


class ItemsView(APIView):
    """Many items at once."""

    authentication_classes = (ApiKey,)
    parser_classes = (RawJsonParser,)

    @extend_schema(request=accepts(ITEMS), responses=WRITTEN)
    def put(self, request: Request) -> Response:
        """Whole entries, one or a list: what an entry does not say is empty afterwards. 202 after Kafka has them."""
        objects = bodies.objects(request)
        return bodies.answer(bodies.read(objects, CatalogItem, now=bodies.current_time()))

    @extend_schema(request=accepts(PATCHES), responses=WRITTEN)
    def patch(self, request: Request) -> Response:
        """Some fields, the others stay; attributes by name, null removes one. The last write wins for each field."""
        objects = bodies.objects(request)
        return bodies.answer(bodies.read(objects, ItemChange, now=bodies.current_time()))

    @extend_schema(request=None, parameters=[_item_ids], responses=WRITTEN)
    def delete(self, request: Request) -> Response:
        """Take items out of the shop. What shoppers did with them stays."""
        # In the query, because programs between client and server may drop the body of a DELETE.
        only_known(request.query_params, {"item_id"})
        ids = request.query_params.getlist("item_id")
        if not 1 <= len(ids) <= settings.MAX_POSTED_EVENTS:
            raise Refused("item_id", f"{len(ids)} items, not 1 to {settings.MAX_POSTED_EVENTS}")
        problems = [id_problem(item_id) for item_id in ids]
        good = [Letter(CATALOG, None, key=name) for name, bad in zip(ids, problems, strict=True) if bad is None]
        refused = [Refusal(n, "item_id", f"the id has {bad}") for n, bad in enumerate(problems) if bad is not None]
        return bodies.answer(bodies.Given(good, refused))


class ItemView(ReadOrWrite, APIView):
    """One item."""

    parser_classes = (RawJsonParser,)

    @extend_schema(responses={200: Described, **dict.fromkeys((400, 401, 404, 429, 503), ProblemSerializer)})
    def get(self, request: Request, item_id: str) -> Response:
        """The item as readers see it. `available` says whether it can be bought now."""
        only_known(request.query_params, ())
        return Response(shown(known_item(parameters.identifier(item_id, "item_id"))))

    @extend_schema(request=accepts(ITEMS, item=True), responses=WRITTEN)
    def put(self, request: Request, item_id: str) -> Response:
        """The whole entry."""
        return self._write(request, item_id, CatalogItem)

    @extend_schema(request=accepts(PATCHES, item=True), responses=WRITTEN)
    def patch(self, request: Request, item_id: str) -> Response:
        """Some fields of it."""
        return self._write(request, item_id, ItemChange)

    @extend_schema(request=None, responses=WRITTEN)
    def delete(self, request: Request, item_id: str) -> Response:
        """Take it out of the shop."""
        only_known(request.query_params, ())
        item_id = parameters.identifier(item_id, "item_id")
        return bodies.answer(bodies.Given([Letter(CATALOG, None, key=item_id)], []))

    def _write(self, request: Request, item_id: str, kind: type[CatalogItem | ItemChange]) -> Response:
        fixed = {"item_id": parameters.identifier(item_id, "item_id")}
        objects = bodies.objects(request, single=True)
        return bodies.answer(bodies.read(objects, kind, now=bodies.current_time(), fixed=fixed))


class StockView(APIView):
    """The stock of many items."""

    authentication_classes = (ApiKey,)
    parser_classes = (RawJsonParser,)

    @extend_schema(request=accepts(STOCKS), responses=WRITTEN)
    def post(self, request: Request) -> Response:
        """How many are left, as a number. A difference is refused: sent twice, it would count twice."""
        objects, now = bodies.objects(request), bodies.current_time()
        return bodies.answer(bodies.each(objects, lambda raw: _only_stock(raw, now)))


def known_item(item_id: str) -> Item:
    """Return the item. Raises `UnknownItem`, also for one that was taken out of the shop."""
    (item,) = item_store.get_items(services.storefront().redis, [item_id])
    if item is None or item == Item(item.item_key, item_id, available=False):  # nothing is left but its id
        raise UnknownItem(f"no item {item_id!r}")
    return item


def shown(item: Item) -> dict[str, Any]:
    """Return every field of the item as the API shows it."""
    fields = {name: getattr(item, name) for name in item.__struct_fields__}
    del fields["item_key"]
    return fields


def _only_stock(raw: bytes, now: datetime) -> Letter:
    decoded(raw, _stock)  # what is not stock is refused
    return bodies.letter_from(raw, ItemChange, now=now)
