"""CORS: lets pages of other origins read lists, and tell what their shoppers have seen and done.

Arrives: requests with `Origin`. Leaves: the headers that a browser asks for, and the answer to its preflight. Next: the
views, for all but a preflight.

Only doors that are made for pages are shared: no door of writers or of the operator, so a page that holds such a key
by mistake cannot use it. No cookie takes part. Without `SAGESTREAM_CORS_ORIGINS` nothing is shared.
"""

from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

READ = ("/recommendations/", "/items/", "/trending/", "/best-sellers/", "/categories/")
SHARED: Mapping[str, tuple[str, ...]] = {"GET": READ, "POST": ("/recommendations/", "/seen/", "/track/")}
"""By method: how the paths begin that pages of other origins may use."""

ALLOWED_HEADERS = "authorization, content-type, x-api-key"
PREFLIGHT_SECONDS = 600
"""How long a browser may remember a preflight's answer."""


def headers_for(environ: Mapping[str, Any], method: str) -> dict[str, str]:
    """Return the headers of an answer to this WSGI environment; empty where nothing is shared."""
    if not settings.SERVING.cors_origins or not _is_shared(method, str(environ.get("PATH_INFO", ""))):
        return {}
    origins = settings.SERVING.shared_with
    exposed = {"Access-Control-Expose-Headers": "Retry-After"}
    if "*" in origins:
        return {"Access-Control-Allow-Origin": "*", **exposed}
    origin = environ.get("HTTP_ORIGIN")
    allowed = {"Access-Control-Allow-Origin": str(origin), **exposed} if origin in origins else {}
    return {"Vary": "Origin", **allowed}  # a cache must not give one origin's answer to another


def shared(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Answer preflights, and add the headers to all other answers."""

    def middleware(request: HttpRequest) -> HttpResponse:
        asked = request.META.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD")
        if request.method == "OPTIONS" and asked and (found := headers_for(request.META, asked)):
            response = HttpResponse(status=204)
            if "Access-Control-Allow-Origin" in found:
                found |= {
                    "Access-Control-Allow-Methods": asked,
                    "Access-Control-Allow-Headers": ALLOWED_HEADERS,
                    "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
                }
        else:
            response = get_response(request)
            found = headers_for(request.META, "GET" if request.method == "HEAD" else request.method or "")
        for name, value in found.items():
            response.headers[name] = value
        return response

    return middleware


def _is_shared(method: str, path: str) -> bool:
    return path.startswith(SHARED.get(method, ()))
