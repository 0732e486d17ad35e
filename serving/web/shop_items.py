"""Shop items: what the shop page shows of items that no list has brought: what a search finds, and what a cart holds.

Arrives: words, or item ids. Leaves: items as JSON. Next: `static/shop/`. It is a part of the page for trials, and is
turned on with it. A real shop has a search of its own and asks the API to put what it found into the shopper's order.

The words are sought in the copy of the catalogue that the monitor keeps in Redis (`serving.dashboard.catalogue`).
"""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from graphstore.catalogue import Item
from graphstore.redis import item_store
from serving.dashboard import catalogue
from serving.web import services
from serving.web.answers import json_response, unavailable
from serving.web.shop import only_where_open

FOUND_ITEMS = 60
MAX_IDS = 100
MAX_QUERY = 200

UNREADABLE = "Redis cannot be read"
NO_COPY = "the search is not ready: the monitor has not written its copy of the catalogue yet"


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Return the items that can be bought and hold every word of `q`, at most `FOUND_ITEMS` of them."""
    only_where_open()
    redis = services.storefront().redis
    try:
        found = catalogue.search(redis, request.GET.get("q", "")[:MAX_QUERY], limit=FOUND_ITEMS, available=True)
        if found is None:
            return unavailable(NO_COPY)
        known = item_store.get_items(redis, [entry.item_id for entry in found.entries])
    except RedisError:
        return unavailable(UNREADABLE)
    # The copy may be some minutes old: what was sold out since is left out.
    items = [shown(item) for item in known if item is not None and item.available]
    return json_response({"matches": found.matches, "total": found.copy.total, "items": items})


@require_safe
def items(request: HttpRequest) -> HttpResponse:
    """Return the items with these ids (`id`, repeated), in this order, without those that nobody knows."""
    only_where_open()
    try:
        known = item_store.get_items(services.storefront().redis, request.GET.getlist("id")[:MAX_IDS])
    except RedisError:
        return unavailable(UNREADABLE)
    return json_response({"items": [shown(item) for item in known if item is not None]})


def shown(item: Item) -> Mapping[str, Any]:
    """Return an item as the page shows it."""
    return {
        "item_id": item.item_id,
        "title": item.title,
        "categories": item.categories,
        "brand": item.brand,
        "price": item.price,
        "available": item.available,
        "stock": item.stock,
        "attributes": item.attributes,
    }
