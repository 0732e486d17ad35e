"""Pages: the monitor's pages, drawn from Redis: what happened, and what is wrong now.

Arrives: the name of a page. Leaves: its HTML, whole or, for htmx, its middle alone; 204 when htmx has it already. Next:
the operator's browser, which asks again every 15 seconds while it is looked at.
"""

from collections.abc import Mapping

import msgspec
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from serving.dashboard.blocks import Chart, Page
from serving.dashboard.store import PAGES, read_page
from serving.web import services
from serving.web.dashboard import refusals
from serving.web.dashboard.access import now_ms, operator_only
from serving.web.dashboard.drawn import chart_table, drawn
from serving.web.dashboard.reports import leads
from serving.web.dashboard.written import age, moment

OLD_SECONDS = 900.0
"""The monitor writes even its slow pages more often than that. An older page is told as old: the monitor is away."""

REFRESH_SECONDS = 15

MENU = [*PAGES, "shoppers", "catalogue", "errands"]
"""All pages of the dashboard, in the order of the menu."""


@operator_only
@gzip_page
@require_safe
def page(request: HttpRequest, name: str = PAGES[0]) -> HttpResponse:
    """Return the page. Before the monitor has written it, the page says so."""
    found = _read(name)
    if isinstance(found, str):
        empty = {"title": name.capitalize(), "unreadable": found, **refreshed(request)}
        return shell(request, "dashboard/page.html", name, empty)
    if request.headers.get("HX-Request") and request.GET.get("since") == str(found.made_at):
        return HttpResponse(status=204)
    seconds = max(0.0, (now_ms() - found.made_at) / 1000)
    context = {
        "title": found.title,
        "refresh": REFRESH_SECONDS,
        "here": f"{request.path}?since={found.made_at}",
        "seconds": seconds,
        "page": found,
        "blocks": [drawn(block, number, leads) for number, block in enumerate(found.blocks)],
        "age": age(seconds),
        "made": moment(found.made_at),
        "old": seconds > OLD_SECONDS,
        "old_seconds": int(OLD_SECONDS),
    }
    return shell(request, "dashboard/page.html", name, context)


@operator_only
@gzip_page
@require_safe
def table(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Return the figures of one chart of a page as a table."""
    found = _read(name)
    if isinstance(found, str) or number >= len(found.blocks):
        raise Http404
    block = found.blocks[number]
    if not isinstance(block, Chart) or block.labels:
        raise Http404
    context = {"title": f"{found.title}: {block.title}", "table": chart_table(block, number), "back": name}
    return shell(request, "dashboard/table.html", name, {**context, "made": moment(found.made_at)})


def refreshed(request: HttpRequest, seconds: int = REFRESH_SECONDS) -> dict[str, object]:
    """Return what makes a page ask again after so many seconds while it is looked at."""
    return {"refresh": seconds, "here": request.get_full_path()}


@operator_only
@require_safe
def missing(request: HttpRequest, path: str) -> HttpResponse:
    """Return 404 for what is no page of the dashboard."""
    return refusals.missing(request)


def shell(
    request: HttpRequest, template: str, name: str, context: Mapping[str, object], *, status: int = 200
) -> HttpResponse:
    """Return a page in the frame with the menu; for htmx its middle alone."""
    part = bool(request.headers.get("HX-Request"))
    frame = "dashboard/part.html" if part else "dashboard/frame.html"
    values = {**context, "frame": frame, "menu": MENU, "name": name}
    response = render(request, template, values, status=status)
    response.headers["Vary"] = "HX-Request"
    return response


def _read(name: str) -> Page | str:
    """Return the page, or why there is none. Raises `redis.RedisError`, and `Http404` for a name that is no page."""
    if name not in PAGES:
        raise Http404
    try:
        found = read_page(services.storefront().redis, name)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return f"the monitor has written this page in a form that this web process does not know ({error})"
    return found or "the monitor has not written this page yet; “sagestream monitor” does so at its first pass"
