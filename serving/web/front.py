"""Front: answers the request of every page, `GET /recommendations/<user_id>/`, without Django's machinery around it.

Arrives: a WSGI environment from `serving.web.gateway`. Leaves: the answer that Django would give: the same bytes,
headers, metrics and impression. Next: `serving.web.lists_door` makes the list, as for Django's view.

What the front does not know to the letter it passes on: other paths and methods, paths and queries in strange
encodings, unknown hosts, readers without a key that they need, and errors without an answer of their own. Django then
answers them, and logs what it must.
Rejected: other views of the REST framework (a third of the cost saved), and a second application with a router of its
own (two places for each rule).
"""

import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.http import HttpRequest, QueryDict

from graphstore.tracing import end_request, request_span
from serving.web import lists_door
from serving.web.answers import problem_of
from serving.web.authentication import may_read, trace_of
from serving.web.bridge import Environ, Headers, WsgiApplication
from serving.web.cors import headers_for
from serving.web.metrics import ARRIVED, common_headers, measure
from serving.web.rendering import written

ROUTE = "recommendations"
KEPT_QUERIES = 1024
MAX_KEPT_QUERY = 512
"""A longer query is parsed anew: the memory of those that are kept stays small."""

_PATH = re.compile(r"/recommendations/([\s\S]+?)/\Z")
_TYPE = ("Content-Type", "application/json")
_ALLOWED = ("Allow", "GET, HEAD, OPTIONS")


def fronted(application: WsgiApplication) -> WsgiApplication:
    """Return an application that answers the hot request itself and passes all others on to `application`."""

    def front(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        asked = _asked(environ)
        answer = None if asked is None else _answer(*asked, environ)
        if answer is None:
            return application(environ, start_response)
        status, headers, body = answer
        start_response(_status_line(status), headers)
        return (body,)

    return front


def _asked(environ: Environ) -> tuple[str, QueryDict] | None:
    """Return the user id and the query, or None for a request that is passed on."""
    if environ["REQUEST_METHOD"] != "GET" or environ.get("CONTENT_TYPE"):  # a charset there changes the query
        return None
    try:
        path = environ["PATH_INFO"].encode("latin-1").decode()
    except UnicodeDecodeError:
        return None
    found = _PATH.match(path)
    if found is None or not _is_allowed(environ.get("HTTP_HOST", ""), tuple(settings.ALLOWED_HOSTS)):
        return None
    if not may_read(environ):  # Django refuses it
        return None
    raw = environ["QUERY_STRING"]
    try:
        return found[1], _kept_query(raw) if len(raw) <= MAX_KEPT_QUERY else _query(raw)
    except SuspiciousOperation:
        return None


def _answer(user_id: str, query: QueryDict, environ: Environ) -> tuple[int, Headers, bytes] | None:
    """Return status, headers and body. None for an error that Django must answer."""
    started = environ.get(ARRIVED, time.perf_counter())
    with request_span("GET", trace_of(environ)):
        own: Headers = []
        try:
            body = written(lists_door.recommendation(user_id, query, environ, now=datetime.now(UTC)))
            status = 200
        except Exception as error:  # noqa: BLE001 - Django raises it again, logs it and answers
            problem = problem_of(error)
            if problem is None:
                return None
            status, body = problem.status, written(problem.body)
            own += problem.headers.items()
        end_request(ROUTE, status)
    measure(ROUTE, status, started)
    secure = environ["wsgi.url_scheme"] == "https"
    shared = headers_for(environ, "GET").items()
    return status, [_TYPE, *own, _ALLOWED, *shared, *common_headers(secure=secure)], body


def _query(raw: str) -> QueryDict:
    return QueryDict(raw.encode("latin-1"))


_kept_query = lru_cache(maxsize=KEPT_QUERIES)(_query)


@lru_cache(maxsize=256)
def _is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    """Return whether Django answers a request with this header `Host`. `allowed` are the hosts of the settings."""
    if not host:
        return False  # Django would ask the socket for its name
    request = HttpRequest()
    request.META["HTTP_HOST"] = host
    try:
        request.get_host()
    except DisallowedHost:
        return False
    return True


@lru_cache(maxsize=64)
def _status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"
