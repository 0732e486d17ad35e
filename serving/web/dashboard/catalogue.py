"""Catalogue: searches the items of the shop and says which can be bought.

Arrives: words. Leaves: the items whose id or title has all of them. Next: the operator's browser. The monitor keeps a
compact copy of the catalogue in Redis (`serving.dashboard.catalogue`), so no key is scanned here.
"""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from serving.dashboard import catalogue
from serving.dashboard.blocks import Column, Row, Rows
from serving.dashboard.catalogue import Found
from serving.web import services
from serving.web.dashboard.access import now_ms, operator_only
from serving.web.dashboard.drawn import drawn
from serving.web.dashboard.pages import shell
from serving.web.dashboard.reports import leads
from serving.web.dashboard.written import age

FOUND_ITEMS = 50
MAX_QUERY = 200
NAME = "catalogue"
AVAILABLE: dict[str, bool | None] = {"": None, "yes": True, "no": False}


@operator_only
@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Return the items that hold every word of `q`; `available` is `yes`, `no` or empty for both."""
    query, wanted = request.GET.get("q", "")[:MAX_QUERY], request.GET.get("available", "")
    context: dict[str, object] = {"title": "Catalogue", "query": query, "wanted": wanted}
    available = AVAILABLE.get(wanted)
    found = catalogue.search(services.storefront().redis, query, limit=FOUND_ITEMS, available=available)
    if found is None:
        context["unreadable"] = "the monitor has not written a copy of the catalogue yet"
    else:
        context["blocks"] = [drawn(_rows(found), 0, leads)]
    return shell(request, "dashboard/catalogue.html", NAME, context)


def _rows(found: Found) -> Rows:
    copy = found.copy
    held = f"{copy.items:,} items" if copy.items == copy.total else f"the newest {copy.items:,} of {copy.total:,} items"
    return Rows(
        title=f"{found.matches:,} item{'' if found.matches == 1 else 's'} found"
        + (f", the first {FOUND_ITEMS}" if found.matches > FOUND_ITEMS else ""),
        note=f"In a copy of {held}, made {age(max(0.0, (now_ms() - copy.made_at) / 1000))}.",
        columns=[
            Column(name="item"),
            Column(name="id"),
            Column(name="can be bought"),
            Column(name="price", unit="money"),
        ],
        rows=[
            Row(
                cells=[
                    entry.title or entry.item_id,
                    entry.item_id,
                    "yes" if entry.available else "no",
                    entry.price,
                ]
            )
            for entry in found.entries
        ],
        window="now",
        empty="no item has all these words in its title or id",
    )
