"""List views: the HTTP API of the lists. `serving.web.lists_door` makes them.

Arrives: requests. Leaves: dataclasses for `serving.web.rendering`. Next: `serving.web.answers` handles the errors.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from serving.coldstart import WINDOWS
from serving.slots.slot import Kind
from serving.web import bodies, lists_body, lists_door, parameters, schema, serializers, services
from serving.web.answers import TooMany
from serving.web.authentication import shows_key
from serving.web.criteria import only_known
from serving.web.views import RawJsonParser, RawTextParser

_k = OpenApiParameter("k", schema.ITEM_COUNT, description="how many items; else as many as the slot says, or 20")
_explain = OpenApiParameter("explain", OpenApiTypes.BOOL, description="give a reason and evidence for each item")
_confirmed = OpenApiParameter(
    "confirmed",
    OpenApiTypes.BOOL,
    description="whether the list is shown for certain, which only the key can say; else `/seen/` tells what was seen",
)
_shopper = OpenApiParameter("user_id", schema.ID, description="whose rules, cart and model; else of nobody")
_user_id = OpenApiParameter("user_id", schema.ID, "path")
_item_id = OpenApiParameter("item_id", schema.ID, "path")
_category = OpenApiParameter("category", schema.NAME, "path")
_window = OpenApiParameter("window", OpenApiTypes.STR, enum=WINDOWS, description="how far back events count")
_cart = OpenApiParameter("cart", schema.many(schema.ID), description="an item in the cart; repeat the parameter")
_visit = [
    _cart,
    OpenApiParameter("item", schema.many(schema.ID), description="an item that the list is about, or that it ranks"),
    OpenApiParameter("session", schema.many(schema.ID), description="an item just looked at, oldest first"),
]
_criteria = [
    OpenApiParameter("category", schema.many(schema.NAME), description="only these categories"),
    OpenApiParameter("brand", schema.many(schema.NAME), description="only these brands"),
    OpenApiParameter("price_min", schema.PRICE, description="only from this price"),
    OpenApiParameter("price_max", schema.PRICE, description="only up to this price"),
    OpenApiParameter("without", schema.many(schema.ID), description="not this item"),
    OpenApiParameter("without_category", schema.many(schema.NAME), description="not this category"),
    OpenApiParameter("without_brand", schema.many(schema.NAME), description="not this brand"),
]
_problems = dict.fromkeys((400, 429, 503), serializers.ProblemSerializer)
_unknown = {404: serializers.ProblemSerializer}
_list = {200: serializers.RecommendationSerializer, **_problems}


def _slot(kind: Kind | None) -> OpenApiParameter:
    return OpenApiParameter("slot", schema.slot_of(kind), description="where the list is shown; given, it is logged")


def _common(kind: Kind | None) -> Sequence[OpenApiParameter]:
    return [_k, _slot(kind), _confirmed, _explain, *_criteria]


class RecommendationsView(APIView):
    """The list of items for a shopper."""

    @extend_schema(parameters=[_user_id, *_common(None), *_visit], responses=_list)
    def get(self, request: Request, user_id: str) -> Response:
        """The shopper's list in a slot. A shopper without a list gets the popular items."""
        return Response(lists_door.recommendation(user_id, request.query_params, request.META, now=datetime.now(UTC)))


class ListsView(APIView):
    """The lists of one page."""

    parser_classes = (RawJsonParser, RawTextParser)

    @extend_schema(
        request={"application/json": schema.lists()},
        responses={
            200: serializers.ListsSerializer,
            **dict.fromkeys((400, 408, 413, 415, 429, 503), serializers.ProblemSerializer),
        },
    )
    def post(self, request: Request) -> Response:
        """Several slots at once, without an item in two of them; for a shopper, or for a session that is not stored."""
        now = datetime.now(UTC)
        body = lists_body.read_body(bodies.body_of(request))
        known = shows_key(request.META)
        confirmed = parameters.vouches(body.confirmed, known=known)
        asked = lists_body.requests_of(body, services.slot_book().current(), now=now)
        if not (known or services.list_limit().allow(request.META["REMOTE_ADDR"], len(asked))):
            raise TooMany("too many lists are asked for from your address: try again")
        answers = lists_door.answer(list(asked.values()), request.META, known=known, confirmed=confirmed, now=now)
        return Response({"lists": dict(zip(asked, answers, strict=True))})


class SimilarItemsView(APIView):
    """The items similar to one item."""

    @extend_schema(parameters=[_item_id, _shopper, _cart, *_common(Kind.SIMILAR)], responses={**_list, **_unknown})
    def get(self, request: Request, item_id: str) -> Response:
        """What may stand in for an item, closest first; then its category, and what sells."""
        now = datetime.now(UTC)
        return Response(lists_door.about_item(item_id, Kind.SIMILAR, request.query_params, request.META, now=now))


class BoughtTogetherView(APIView):
    """The items bought together with one item."""

    @extend_schema(
        parameters=[_item_id, _shopper, _cart, *_common(Kind.BOUGHT_TOGETHER)], responses={**_list, **_unknown}
    )
    def get(self, request: Request, item_id: str) -> Response:
        """What others bought in one order with an item; then what is similar, and what sells."""
        now = datetime.now(UTC)
        query = request.query_params
        return Response(lists_door.about_item(item_id, Kind.BOUGHT_TOGETHER, query, request.META, now=now))


class TrendingView(APIView):
    """The items that rise."""

    @extend_schema(parameters=[_window, _shopper, *_common(Kind.TRENDING)], responses=_list)
    def get(self, request: Request) -> Response:
        """What has more events in the window than its own past lets expect; then what sells most."""
        return Response(lists_door.of_shop(Kind.TRENDING, request.query_params, request.META, now=datetime.now(UTC)))


class BestSellersView(APIView):
    """The items that sell most."""

    @extend_schema(parameters=[_window, _shopper, *_common(Kind.BEST_SELLERS)], responses=_list)
    def get(self, request: Request) -> Response:
        """What sold most in the window; then in longer ones, and what else can be bought."""
        return Response(
            lists_door.of_shop(Kind.BEST_SELLERS, request.query_params, request.META, now=datetime.now(UTC))
        )


class CategoriesView(APIView):
    """The categories of the shop."""

    @extend_schema(responses={200: serializers.CategoriesSerializer, **_problems})
    def get(self, request: Request) -> Response:
        """Each category with the number of its items that can be bought, the largest first."""
        only_known(request.query_params, ())
        categories = services.storefront().shop.categories()
        return Response({"categories": [{"category": name, "items": count} for name, count in categories]})


class CategoryItemsView(APIView):
    """The items of one category."""

    @extend_schema(
        parameters=[_category, _shopper, *_visit, *[one for one in _common(Kind.CATEGORY) if one.name != "category"]],
        responses=_list,
    )
    def get(self, request: Request, category: str) -> Response:
        """One category in the shopper's order, or in the order of a session."""
        now = datetime.now(UTC)
        return Response(lists_door.of_category(category, request.query_params, request.META, now=now))
