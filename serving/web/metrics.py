"""Metrics: the first middleware checks the host, measures and traces each answer and adds headers.

Arrives: every request. Leaves: its answer with the common headers, and the histogram for `/metrics`, which
`serving.web.health` answers on a port of its own.
"""

import time
from collections.abc import Callable
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram

from graphstore.metric_labels import known
from graphstore.tracing import end_request, request_span

ALIVE = "/healthz"
ARRIVED = "sagestream.arrived"
"""In a request's environment: when it was read whole, in seconds of `time.perf_counter`."""

_seconds = Histogram(
    "sagestream_http_seconds",
    "Seconds from a request that was read whole to its answer, with the wait for a thread",
    ["route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
REASONS = (
    "connections",
    "head_time",
    "head_size",
    "body_time",
    "body_size",
    "memory",
    "stalled",
    "rate",
    "busy_readers",
    "busy_writers",
    "stopping",
)
"""Why a request or a connection was refused."""

_COMMON = [
    # What is told of a shopper is for whoever asked. A shared cache knows that of `Authorization`, not of `X-API-Key`.
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", "frame-ancestors 'none'"),
]

_dropped = Counter("sagestream_http_dropped", "Requests and connections refused before the application", ["reason"])


def dropped(reason: str) -> None:
    """Count a request or connection that was refused before the application saw it, by one of `REASONS`."""
    _dropped.labels(known(reason, REASONS)).inc()


def measure(route: str, status: int, started: float) -> None:
    """Record the time of an answer since `started` (seconds of `time.perf_counter`)."""
    _series(route, status).observe(time.perf_counter() - started)


@lru_cache(maxsize=1024)
def _series(route: str, status: int) -> Histogram:
    """Return the series of a route and a status. The library would look it up under a lock each time."""
    return _seconds.labels(route, status)


def common_headers(*, secure: bool) -> list[tuple[str, str]]:
    """Return the headers of every answer that does not say otherwise. `secure`: the request came over https."""
    if secure and settings.SERVING.hsts_seconds:
        return [*_COMMON, ("Strict-Transport-Security", f"max-age={settings.SERVING.hsts_seconds}")]
    return _COMMON


def measured(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Check the host, then measure the time.

    Without the check, a foreign page could reach a loopback server under its own host name. `/healthz` says nothing to
    such a page, and a health check asks for it by an address.
    """

    from serving.web.authentication import trace_of  # late: it needs Django's settings, and `server` imports us before

    def middleware(request: HttpRequest) -> HttpResponse:
        started = request.META.get(ARRIVED, time.perf_counter())
        if request.path != ALIVE:
            request.get_host()  # raises DisallowedHost, answered with 400
        with request_span(request.method or "", trace_of(request.META)):
            response = get_response(request)
            match = request.resolver_match
            route = match.view_name if match and match.view_name else "unmatched"
            end_request(route, response.status_code)
        measure(route, response.status_code, started)
        for name, value in common_headers(secure=request.is_secure()):
            response.headers.setdefault(name, value)
        if request.is_secure():
            for cookie in response.cookies.values():
                cookie["secure"] = True
        return response

    return middleware
