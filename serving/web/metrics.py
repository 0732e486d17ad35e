"""Metrics: the only middleware checks the host, measures the time of each answer and adds headers.

Arrives: every request. Leaves: its answer with the common headers, and the histogram for `/metrics`.
"""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, Histogram, generate_latest

_seconds = Histogram(
    "sagestream_http_seconds",
    "Seconds from a request to its answer",
    ["route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)


def measured(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Check the host, then measure the time.

    Without the check, a foreign page could reach a loopback server under its own host name.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        request.get_host()  # raises DisallowedHost, answered with 400
        response = get_response(request)
        match = request.resolver_match
        route = match.view_name if match and match.view_name else "unmatched"
        _seconds.labels(route, response.status_code).observe(time.perf_counter() - started)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    return middleware


def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics of this worker only, for `/metrics`."""
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)
