"""Refusals: the dashboard's pages that say why there is nothing to see, and what to do.

Arrives: a reason. Leaves: a whole page with its status. Next: the operator's browser.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from serving.web import answers
from serving.web.answers import RETRY_AFTER_SECONDS
from serving.web.shop import CONTENT_SECURITY_POLICY

ROOT = "/dashboard/"
ADMIN_KEY = "SAGESTREAM_ADMIN_KEY"


def guarded(response: HttpResponse) -> HttpResponse:
    """Add the headers that each answer of the dashboard has: nothing is kept, nothing is loaded from elsewhere."""
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    response.headers["Cache-Control"] = "no-store"
    return response


def message(request: HttpRequest, status: int, title: str, *lines: str) -> HttpResponse:
    """Return a page that says why this is not a page with figures."""
    context = {"title": title, "lines": lines, "root": ROOT}
    response = guarded(render(request, "dashboard/message.html", context, status=status))
    if status == 503:
        response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return response


def closed(request: HttpRequest) -> HttpResponse:
    """Return 403: the operator's key is not set, so nobody can log in."""
    return message(
        request,
        403,
        "The dashboard is closed",
        f"Set {ADMIN_KEY} to a long random text, for example the output of “openssl rand -hex 24”,",
        "and start the web process again. Then log in with that text.",
    )


def no_redis(request: HttpRequest) -> HttpResponse:
    """Return 503: the figures are in Redis, and Redis does not answer."""
    return message(
        request,
        503,
        "Redis cannot be read",
        "The dashboard shows figures that the monitor keeps in Redis, and Redis does not answer now.",
        "The shop serves its lists from the same Redis: look at it first (SAGESTREAM_REDIS_URL, “sagestream doctor”).",
    )


def missing(request: HttpRequest) -> HttpResponse:
    """Return 404."""
    return message(request, 404, "There is no such page", "The menu of the dashboard has all pages.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Return 403 for a form that is not from this site: a page for the dashboard, JSON for the shop page."""
    if not request.path.startswith(ROOT):
        return answers.csrf_failure(request, reason)
    return message(
        request,
        403,
        "This form is too old, or comes from elsewhere",
        f"{reason} Go back, load the page again, and send it once more. Cookies must be allowed.",
    )
