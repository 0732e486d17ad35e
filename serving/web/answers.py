"""How the API refuses: every refusal names its reason, and its field where there is one.

Arrives: what a view raises, and what Django answers by itself. Leaves: JSON. Next: the shop's own front.
"""

import logging
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError
from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import exception_handler

from serving.cache import MalformedList
from serving.recommend import NothingPublished, UnknownItem
from serving.web.outbox import NotDelivered

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = "2"


class Refused(APIException):
    """400: a parameter is outside its bounds."""

    status_code = 400

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class TooLarge(APIException):
    """413: more bytes than one request may carry."""

    status_code = 413


def refuse(error: Exception, context: dict[str, Any]) -> Response | None:
    """Errors as answers: what cannot be served now is 503 and says why. Anything unforeseen stays an error (500)."""
    if isinstance(error, Refused):
        return Response({"detail": str(error.detail), "field": error.field}, status=error.status_code)
    if isinstance(error, UnknownItem):
        return Response({"detail": str(error)}, status=404)
    if isinstance(error, NothingPublished | NotDelivered):
        return _unavailable(str(error))
    if isinstance(error, RedisError):
        logger.error("Redis cannot be read: %s", error)
        return _unavailable("Redis cannot be read")
    if isinstance(error, MalformedList):
        logger.error("a list in Redis is malformed: %s", error)
        return _unavailable("a list in Redis is malformed: publish the model again")
    return exception_handler(error, context)


def _unavailable(detail: str) -> Response:
    return Response({"detail": detail}, status=503, headers={"Retry-After": RETRY_AFTER_SECONDS})


def json_response(data: Any, status: int = 200) -> HttpResponse:
    """A plain Django answer in the same JSON, for views outside the REST framework."""
    return HttpResponse(orjson.dumps(data), content_type="application/json", status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 before any view was reached (a host that is not ours, a broken request)."""
    return json_response({"detail": type(exception).__name__}, 400)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404 for paths that nobody answers."""
    return json_response({"detail": f"nothing at {request.path}"}, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """500, without the particulars: they are in the log."""
    return json_response({"detail": "internal error"}, 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form that does not come from our own page."""
    return json_response({"detail": f"not from this page: {reason}"}, 403)
