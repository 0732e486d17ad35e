"""Lists: answers Gorse's questions for items with the lists of this shop.

Arrives: a user, an item or a session, with `n`, `offset` and a category. Leaves: item ids, or ids with scores. Next:
`serving.recommend` makes the lists, by the rules of the slots `for_you` and `best_sellers`.

A list for a user is logged as an impression like any other. Gorse's clients give no request id back, so its clicks are
attributed by user, item and time. `write-back-type` is refused: what Gorse's clients write with it, the impression has.
"""

from dataclasses import replace
from typing import Any

from django.http import QueryDict
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from graphstore.redis import hot, item_store
from serving import recommend
from serving.online.protocol import MAX_SESSION_EVENTS, SessionEvent
from serving.recommend import Recommendation
from serving.rules.criteria import NO_CRITERIA, Criteria
from serving.slots.request import ListRequest
from serving.slots.slot import Kind, Slot
from serving.web import bodies, lists_door, parameters, services
from serving.web.answers import Refused
from serving.web.authentication import shows_key
from serving.web.criteria import only_known
from serving.web.gorse import shapes
from serving.web.gorse.entries import read_many
from serving.web.parameters import MAX_ITEMS
from serving.web.views import RawJsonParser
from stream.events import milliseconds

DEFAULT_ITEMS = 10
"""As Gorse's clients ask for."""
PAGED = frozenset({"n", "offset", "user-id", "category"})
WRITE_BACK = ("write-back-type", "write-back-delay")

NEIGHBOURS = Slot(kind=Kind.SIMILAR, fallback=())


class RecommendView(APIView):
    """`/api/recommend/<user_id>` and `/api/recommend/<user_id>/<category>`."""

    def get(self, request: Request, user_id: str, category: str = "") -> Response:
        """The ids of the items for a user, best first."""
        user_id = parameters.identifier(user_id, "user_id")
        found = _listed(request, Kind.FOR_YOU, category, user_id=user_id)
        return Response([item.item_id for item in found.items])


class NeighborsView(APIView):
    """`/api/item/<item_id>/neighbors`, with or without a category."""

    def get(self, request: Request, item_id: str, category: str = "") -> Response:
        """The items most similar to one."""
        item_id = parameters.identifier(item_id, "item_id")
        recommend.check_item(services.storefront(), item_id)
        return Response(_scored(_listed(request, Kind.SIMILAR, category, items=(item_id,))))


class PopularView(APIView):
    """`/api/popular`, with or without a category."""

    def get(self, request: Request, category: str = "") -> Response:
        """The items that sell most; with `user-id`, without those that the rules keep from this user."""
        user_id = lists_door.shopper_of(request.query_params, "user-id")
        return Response(_scored(_listed(request, Kind.BEST_SELLERS, category, user_id=user_id, logged=False)))


class LatestView(APIView):
    """`/api/latest`, with or without a category."""

    def get(self, request: Request, category: str = "") -> Response:
        """The newest items that can be bought; with `user-id`, without those that this user knows.

        A greater score is newer.
        """
        n, offset, criteria = _page(request.query_params, category)
        redis, user_id = services.storefront().redis, lists_door.shopper_of(request.query_params, "user-id")
        known = set() if user_id is None else hot.seen(redis, user_id)
        newest = [one for one in item_store.newest_items(redis) if one.available and one.item_id not in known]
        found = [one for one in newest if criteria.matches(one)][offset : offset + n]
        return Response([{"Id": item.item_id, "Score": float(item.item_key)} for item in found])


class SessionView(APIView):
    """`/api/session/recommend`, with or without a category."""

    parser_classes = (RawJsonParser,)

    def post(self, request: Request, category: str = "") -> Response:
        """Items for somebody who did this, and of whom nothing is stored."""
        query, now = request.query_params, bodies.current_time()
        _page(query, category)
        events = [shapes.interaction(one, now=now) for one in read_many(request, shapes.Feedback, PAGED)]
        events.sort(key=lambda event: event.event_time)
        session = tuple(
            SessionEvent(item_id=one.item_id, event_type=one.event_type, event_time=milliseconds(one.event_time))
            for one in events[-MAX_SESSION_EVENTS:]
        )
        return Response(_scored(_listed(request, Kind.FOR_YOU, category, session=session)))


def _listed(
    request: Request,
    kind: Kind,
    category: str,
    *,
    user_id: str | None = None,
    items: tuple[str, ...] = (),
    session: tuple[SessionEvent, ...] = (),
    logged: bool = True,
) -> Recommendation:
    """Return the list without the items before the offset, and log it when it was made for a user."""
    n, offset, criteria = _page(request.query_params, category)
    slot = NEIGHBOURS if kind is Kind.SIMILAR else lists_door.own_slot(kind)
    now = bodies.current_time()
    wanted = ListRequest(
        slot=slot,
        name=kind if logged and user_id is not None else None,
        k=n + offset,
        user_id=user_id,
        criteria=criteria,
        items=items,
        session=session,
        request_id=lists_door.signed_id(user_id),
    )
    served = recommend.serve(services.storefront(), [wanted], now=now)[0]
    shown = replace(served, items=served.items[offset:])
    known = shows_key(request.META)
    lists_door.log_shown([shown], request.META, known=known, confirmed=known, now=now)
    return shown


def _page(query: QueryDict, category: str) -> tuple[int, int, Criteria]:
    for name in WRITE_BACK:
        if name in query:
            raise Refused(name, "each list is logged as an impression: nothing has to be written back")
    only_known(query, PAGED)
    n = parameters.number(query, "n", DEFAULT_ITEMS)
    offset = parameters.number(query, "offset", 0, least=0)
    if n + offset > MAX_ITEMS:
        raise Refused("offset", f"n and offset are over {MAX_ITEMS} together")
    category = category or query.get("category", "")
    if not category:
        return n, offset, NO_CRITERIA
    return n, offset, Criteria(categories=(parameters.name(category, "category"),))


def _scored(found: Recommendation) -> list[dict[str, Any]]:
    return [{"Id": item.item_id, "Score": item.score} for item in found.items]
