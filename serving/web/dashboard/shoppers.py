"""Shoppers: what the recommender knows of one shopper now, live from Redis: history, list, and why each item is in it.

Arrives: any id of a shopper. Leaves: the page. Next: `errands` to export or to forget the shopper.

It shows what a reader would be served (`serving.recommend`), without a slot: nothing is logged as shown.
"""

from datetime import UTC, datetime

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from graphstore.redis import hot, item_store
from serving import recommend
from serving.cache import MalformedList
from serving.dashboard.blocks import AnyBlock, Cell, Column, Row, Rows, Tile, Tiles
from serving.recommend import NothingPublished, Recommendation, Storefront
from serving.web import services, shop
from serving.web.dashboard.access import operator_only
from serving.web.dashboard.drawn import DrawnBlock, drawn
from serving.web.dashboard.pages import shell
from serving.web.dashboard.reports import leads
from serving.web.dashboard.written import age
from stream.events import id_problem

HISTORY_ITEMS = 50
LIST_ITEMS = 20
NAME = "shoppers"

_SOURCES = {
    "nearline": "refreshed right after an event of this shopper (near-line)",
    "batch": "published with the model",
    "popular": "no list of their own: the popular items",
}


@operator_only
@require_safe
def shopper(request: HttpRequest) -> HttpResponse:
    """Return the page of the shopper `user`; without one, a form and a few shoppers."""
    store, user_id, now = services.storefront(), request.GET.get("user", ""), datetime.now(UTC)
    context: dict[str, object] = {"title": "Shopper", "user_id": user_id}
    problem = id_problem(user_id) if user_id else None
    if problem:
        context["problem"] = f"the id has {problem}"
    elif user_id:
        context["blocks"] = _blocks(store, user_id, now)
        context["known"] = True
    else:
        version = store.lists.champion()
        context["shoppers"] = shop.known_shoppers(store.redis, version) if version else []
    return shell(request, "dashboard/shopper.html", NAME, context)


def _blocks(store: Storefront, user_id: str, now: datetime) -> list[DrawnBlock]:
    history = _history(store, user_id)
    blocks: list[AnyBlock]
    try:
        served = recommend.recommendations(store, user_id, k=LIST_ITEMS, explained=True, now=now)
        blocks = [_facts(store, user_id, served, len(history.rows), now), _list(served), history]
        blocks.append(_slots(store, user_id))
    except (NothingPublished, MalformedList) as error:
        blocks = [Rows(title="List", columns=[], rows=[], empty=str(error)), history]
    return [drawn(block, number, leads) for number, block in enumerate(blocks)]


def _facts(store: Storefront, user_id: str, served: Recommendation, history: int, now: datetime) -> Tiles:
    seconds = max(0.0, (now - served.as_of).total_seconds())
    return Tiles(
        title="Now",
        tiles=[
            Tile(label="model", value=served.model_version, window="now", note=f"variant {served.variant}"),
            Tile(label="list", value=served.source, window="now", note=_SOURCES.get(served.source, "")),
            Tile(
                label="list computed",
                value=age(seconds) if served.source != recommend.POPULAR else None,
                window="now",
                note="" if served.source != recommend.POPULAR else "the popular items are made for all",
            ),
            Tile(
                label="items known of them",
                value=float(len(hot.seen(store.redis, user_id))),
                unit="count",
                window="all time",
                note=f"the newest {history} are below",
            ),
        ],
    )


def _list(served: Recommendation) -> Rows:
    return Rows(
        title=f"The first {len(served.items)} items of the list, and why",
        note="The reason is evidence that can be checked: the history, the items that go together, or the trend.",
        columns=[
            Column(name="place"),
            Column(name="item"),
            Column(name="why"),
            Column(name="score", unit="number"),
            Column(name="price", unit="money"),
        ],
        rows=[
            Row(
                cells=[
                    str(item.position + 1),
                    Cell(value=item.title or item.item_id, title=item.item_id),
                    item.reason,
                    item.score,
                    item.price,
                ]
            )
            for item in served.items
        ],
        window="now",
    )


def _history(store: Storefront, user_id: str) -> Rows:
    recent = hot.recent(store.redis, user_id, HISTORY_ITEMS)
    items = item_store.get_items(store.redis, [item_id for item_id, _ in recent])
    return Rows(
        title="History",
        note="The items that this shopper touched last, with the time of the last event on each.",
        columns=[Column(name="time (UTC)", unit="time"), Column(name="item"), Column(name="can be bought")],
        rows=[
            Row(
                cells=[
                    float(at),
                    Cell(value=(item.title if item else "") or item_id, title=item_id),
                    None if item is None else "yes" if item.available else "no",
                ]
            )
            for (item_id, at), item in zip(recent, items, strict=True)
        ],
        window=f"the newest {HISTORY_ITEMS} items",
        empty="no event of this id is known. A session that logged in belongs to the person: look at the person's id",
    )


def _slots(store: Storefront, user_id: str) -> Rows:
    rows = []
    for slot in sorted(services.slot_book().current()):
        assignment = recommend.assigned(store, user_id, slot)
        rows.append(Row(cells=[slot, assignment.variant, assignment.model_version]))
    return Rows(
        title="Model by slot",
        note="What the shopper gets where: an experiment or a probation may give them another model.",
        columns=[Column(name="slot"), Column(name="variant"), Column(name="model")],
        rows=rows,
        window="now",
    )
