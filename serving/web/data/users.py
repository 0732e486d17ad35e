"""Users: the doors for a shopper's attributes, logins, and the token of a page.

Arrives: requests of the shop's server. Leaves: `UserAttributes` and `Identity` events; or what is known of a shopper
without SQL. Next: `stream.worker.sink` stores them; `serving.web.data.erasures` has what the law asks for.

A user's attributes are replaced as a whole. Rejected: to change single ones, since each would need the time of its last
write, and a shop has all of them in one place. Readers do not get them back: they are personal, no list needs them in
Redis, and the export has them.
"""

from typing import NoReturn

from drf_spectacular.utils import extend_schema
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from graphstore.redis import hot
from serving.web import bodies, parameters, services, signing
from serving.web.authentication import AdminKey, ApiKey
from serving.web.criteria import only_known
from serving.web.data import erasures
from serving.web.data.described import (
    ERRAND,
    LOGINS,
    USERS,
    WRITTEN,
    KnownUserSerializer,
    TokenSerializer,
    accepts,
)
from serving.web.serializers import ProblemSerializer
from serving.web.views import RawJsonParser
from stream.events import Identity, UserAttributes, utc

RECENT_ITEMS = 100
"""Items that the door tells of a shopper, newest first."""

_problems = dict.fromkeys((400, 401, 403, 429, 503), ProblemSerializer)


class UserView(APIView):
    """One shopper."""

    parser_classes = (RawJsonParser,)

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return who may call: the operator to forget a shopper, else a writer. No reader: a page may hold its key."""
        return [AdminKey() if self.request is not None and self.request.method == "DELETE" else ApiKey()]

    @extend_schema(responses={200: KnownUserSerializer, **_problems})
    def get(self, request: Request, user_id: str) -> Response:
        """The items that the shopper touched last, from the memory of the readers."""
        only_known(request.query_params, ())
        user_id = parameters.identifier(user_id, "user_id")
        recent = hot.recent(services.storefront().redis, user_id, RECENT_ITEMS)
        items = [{"item_id": item_id, "event_time": utc(time)} for item_id, time in recent]
        return Response({"user_id": user_id, "recent": items})

    @extend_schema(request=accepts(USERS, item=True), responses=WRITTEN)
    def put(self, request: Request, user_id: str) -> Response:
        """All attributes of the shopper: what is not given is gone. 202 after Kafka has it."""
        fixed = {"user_id": parameters.identifier(user_id, "user_id")}
        objects = bodies.objects(request, single=True)
        return bodies.answer(bodies.read(objects, UserAttributes, now=bodies.current_time(), fixed=fixed))

    def http_method_not_allowed(  # type: ignore[override]
        self, request: Request, *args: object, **kwargs: object
    ) -> NoReturn:
        """Raise 405, with the reason for a PATCH."""
        reason = "attributes are replaced as a whole: PUT all of them" if request.method == "PATCH" else None
        raise MethodNotAllowed(str(request.method), reason)

    @extend_schema(request=None, responses=ERRAND)
    def delete(self, request: Request, user_id: str) -> Response:
        """Forget the shopper, everywhere and for ever; 202 with a receipt. `/erasures/<receipt>/` tells its end."""
        only_known(request.query_params, ())
        return erasures.asked("forget", parameters.identifier(user_id, "user_id"))


class TokenView(APIView):
    """The token with which a page speaks for a shopper who has logged in."""

    authentication_classes = (ApiKey,)

    @extend_schema(responses={200: TokenSerializer, **_problems})
    def get(self, request: Request, user_id: str) -> Response:
        """A new token. The shop's server writes it into the page, which shows it at `/track/`."""
        only_known(request.query_params, ())
        user_id = parameters.identifier(user_id, "user_id")
        now = bodies.current_time()
        token = signing.shopper_token(user_id, key=signing.key_for(signing.SHOPPERS), now=now)
        return Response({"user_id": user_id, "token": token, "seconds": signing.SHOPPER_SECONDS})


class IdentitiesView(APIView):
    """Logins."""

    authentication_classes = (ApiKey,)
    parser_classes = (RawJsonParser,)

    @extend_schema(request=accepts(LOGINS), responses=WRITTEN)
    def post(self, request: Request) -> Response:
        """Anonymous visitors who have logged in, one or a list: their events are the user's from now on."""
        return bodies.answer(bodies.read(bodies.objects(request), Identity, now=bodies.current_time()))
