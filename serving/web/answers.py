"""Answers: turns errors into JSON answers with the reason and, when there is one, the field.

Arrives: exceptions from views, and errors that Django handles itself. Leaves: JSON. Next: the client, for example a
shop's web site.
"""

import logging
import time
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError
from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import exception_handler

from serving.recommend import NothingPublished, UnknownItem
from serving.web.outbox import NotDelivered

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = "2"
LOG_SECONDS = 5.0

_logged_at = float("-inf")


class Refused(APIException):
    """400: a parameter is outside its bounds."""

    status_code = 400

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class TooLarge(APIException):
    """413: the body has more bytes than allowed."""

    status_code = 413


class TooMany(APIException):
    """429: too many of these from one address."""

    status_code = 429
    wait = int(RETRY_AFTER_SECONDS)


class Busy(APIException):
    """503: too much waits already."""

    status_code = 503
    wait = int(RETRY_AFTER_SECONDS)


@dataclass(frozen=True)
class Problem:
    """The answer for an error: a status, the body, and headers of its own."""

    status: int
    body: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict)


def problem_of(error: Exception) -> Problem | None:
    """Return the answer for an error of ours, None for one that has no answer of its own.

    A temporary error is 503 with its reason.
    """
    if isinstance(error, Refused):
        return Problem(error.status_code, {"detail": str(error.detail), "field": error.field})
    if isinstance(error, UnknownItem):
        return Problem(404, {"detail": str(error)})
    if isinstance(error, NothingPublished | NotDelivered):
        return _unavailable(str(error))
    if isinstance(error, RedisError):
        _log_now_and_then("Redis cannot be read: %s", error)
        return _unavailable("Redis cannot be read")
    return None


def refuse(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the answer for an error of a view. An unexpected error stays 500."""
    problem = problem_of(error)
    if problem is None:
        return exception_handler(error, context)
    return Response(problem.body, status=problem.status, headers=problem.headers)


def _log_now_and_then(message: str, error: Exception) -> None:
    """Log an error that each request meets, but not for each request."""
    global _logged_at
    now = time.monotonic()
    if now - _logged_at >= LOG_SECONDS:
        _logged_at = now
        logger.error(message, error)


def _unavailable(detail: str) -> Problem:
    return Problem(503, {"detail": detail}, {"Retry-After": RETRY_AFTER_SECONDS})


def json_response(data: Any, status: int = 200) -> HttpResponse:
    """Return a plain Django answer in the same JSON, for views outside the REST framework."""
    return HttpResponse(orjson.dumps(data), content_type="application/json", status=status)


def unavailable(detail: str) -> HttpResponse:
    """Return a plain Django answer 503 that says when to try again."""
    response = json_response({"detail": detail}, 503)
    response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400 for an error before the view: an unknown host or a broken request."""
    return json_response({"detail": type(exception).__name__}, 400)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404 for an unknown path."""
    return json_response({"detail": f"nothing at {request.path}"}, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500 without details. The details are in the log."""
    return json_response({"detail": "internal error"}, 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer 403 for a form that does not come from the shop page."""
    return json_response({"detail": f"not from this page: {reason}"}, 403)
