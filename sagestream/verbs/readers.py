"""Readers: shows lists, similar items, reasons and the state of all services."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from graphstore.config import GraphstoreConfig
from graphstore.redis import item_store
from graphstore.redis.connection import open_redis
from sagestream.printable import BadParameter, PlainConsole, echo, echo_json, printable
from sagestream.tables import print_table
from sagestream.verbs.report import report
from serving import explain as explaining
from serving.cache import READ_TIMEOUT_SECONDS
from serving.config import ServingConfig
from serving.online.client import RankerClient
from serving.recommend import (
    POPULAR,
    ListedItem,
    Recommendation,
    Storefront,
    UnknownItem,
    check_item,
    serve,
    served_model,
)
from serving.slots.defaults import PLAIN
from serving.slots.request import ListRequest
from serving.slots.slot import Kind, Slot
from serving.slots.slot_book import SlotBook

if TYPE_CHECKING:
    from redis import Redis

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Count = Annotated[int, typer.Option("--k", min=1, max=100, help="How many items.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Ask this model of the registry (champion: the one that serves) and SQL, not Redis.",
        show_default=False,
    ),
]
User = Annotated[str, typer.Argument(help="The shopper's id.")]
ItemId = Annotated[str, typer.Argument(help="The item's id.")]
SlotName = Annotated[
    str | None, typer.Option("--slot", help="Make the list by the rules of this slot.", show_default=False)
]
LONGEST_LINE = 200
LONGEST_FINDING = 2000
HISTORY = "from your history"
NO_EVIDENCE = "nothing in their history or in the trend speaks for it"


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (recommend, similar, explain, report, doctor):
        app.command()(verb)


def _storefront() -> "tuple[Redis, Storefront]":
    config = ServingConfig()
    redis = open_redis(GraphstoreConfig().redis_url, timeout_seconds=READ_TIMEOUT_SECONDS)
    return redis, Storefront.open(redis, ranker=RankerClient(config.ranker_url, timeout_ms=config.ranker_timeout_ms))


def _slot(name: str | None) -> Slot:
    """Return the slot of the file or of the defaults. Raises `UnknownSlot`."""
    return PLAIN if name is None else SlotBook.open(ServingConfig()).slot(name)


def _alone(name: str | None) -> Slot:
    """Return the slot without its fallbacks: what fills a list up says nothing of an item."""
    return msgspec.structs.replace(_slot(name), fallback=())


def recommend(
    user: User, k: Count = 20, slot: SlotName = None, model_version: Model = None, as_json: AsJson = False
) -> None:
    """A shopper's list, as the API serves it; or made now by a model of the registry, without any service."""
    if model_version is not None:
        if slot is not None:
            raise BadParameter("a model of the registry knows no slots", param_hint="--slot")
        from sagestream.bundle_lists import recommended

        listed = recommended(GraphstoreConfig(), model_version, user, k=k)
        told = {"user_id": user, "model_version": listed.model_version, "source": "bundle"}
        _print(f"{user}: made now by {listed.model_version}", listed.items, told, as_json=as_json)
        return
    redis, store = _storefront()
    try:
        request = ListRequest(slot=_slot(slot), name=slot, k=k, user_id=user, explain=True)
        served = serve(store, [request], now=datetime.now(UTC))[0]
    finally:
        redis.close()
    kind = "no list of their own, the popular list" if served.source == POPULAR else f"{served.source} list"
    title = f"{user}: {kind} of {served.model_version}, {served.as_of:%Y-%m-%d %H:%M:%S} UTC"
    if served.degraded is not None:
        title += f" ({served.degraded})"
    _print(title, served.items, msgspec.to_builtins(served), as_json=as_json)


def similar(item: ItemId, k: Count = 20, model_version: Model = None, as_json: AsJson = False) -> None:
    """The items closest to one."""
    if model_version is not None:
        from sagestream.bundle_lists import resembling

        listed = resembling(GraphstoreConfig(), model_version, item, k=k)
        told = {"item_id": item, "model_version": listed.model_version}
        _print(f"similar to {item}, by {listed.model_version}", listed.items, told, as_json=as_json)
        return
    redis, store = _storefront()
    try:
        served_model(store)  # before the first model every item would seem unknown
        check_item(store, item)
        request = ListRequest(slot=Slot(kind=Kind.SIMILAR, fallback=()), k=k, items=(item,), explain=True)
        found = serve(store, [request], now=datetime.now(UTC))[0]
    finally:
        redis.close()
    told = {"item_id": item, **msgspec.to_builtins(found)}
    _print(f"similar to {item}, by {found.model_version}", found.items, told, as_json=as_json)


def explain(user: User, item: ItemId, slot: SlotName = None, as_json: AsJson = False) -> None:
    """Why an item stands in a shopper's list, and where; or why it does not."""
    redis, store = _storefront()
    try:
        request = ListRequest(slot=_alone(slot), name=slot, k=ServingConfig().list_length, user_id=user, explain=True)
        served = serve(store, [request], now=datetime.now(UTC))[0]
        place = next((listed for listed in served.items if listed.item_id == item), None)
        told = _absence(store, served, item) if place is None else msgspec.to_builtins(place)
    finally:
        redis.close()
    told |= {"user_id": user, "model_version": served.model_version, "source": served.source}
    if as_json:
        echo_json(told)
        return
    where = "not in the list" if place is None else f"position {place.position}, score {place.score:.3f}"
    echo(printable(f"{told['title'] or item}: {where}, {told['reason']}", LONGEST_LINE))


def _absence(store: Storefront, served: Recommendation, item_id: str) -> dict[str, Any]:
    """Explain, from the data in Redis, why a catalogue item is not in the list. Raises `UnknownItem`."""
    found = item_store.get_items(store.redis, [item_id])[0]
    if found is None:
        raise UnknownItem(f"no item {item_id!r} in the catalogue")
    evidence = explaining.reasons(
        store.redis, store.lists, served.model_version, served.user_id, [found], otherwise=NO_EVIDENCE
    )[0]
    ranked = f"it ranks below the {len(served.items)} items of the list"
    if evidence == HISTORY:
        ranked += ", or this model lists nothing twice"
    reason = f"{ranked}; {evidence}" if found.available else "it cannot be bought"
    return {"item_id": item_id, "title": found.title, "position": None, "score": None, "reason": reason}


def doctor(as_json: AsJson = False) -> None:
    """What is up, what is missing, and how far behind the stream is. Exit 1 where something is wrong."""
    from sagestream.doctor import examine

    checks = examine()
    if as_json:
        echo_json([vars(check) for check in checks])
    else:
        table = Table("", "what", "finding")
        for check in checks:
            table.add_row(
                Text("✓", "green") if check.ok else Text("✗", "red"),
                check.name,
                printable(check.finding, LONGEST_FINDING),
            )
        print_table(PlainConsole(), table)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _print(title: str, items: Sequence[ListedItem], whole: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        echo_json(whole | {"items": msgspec.to_builtins(items)}, default=str)
        return
    table = Table("#", "item", "title", "price", "score", "why", title=printable(title, LONGEST_LINE))
    for item in items:
        price = "" if item.price is None else f"{item.price:.2f}"
        shown = (
            printable(item.item_id, LONGEST_LINE),
            printable(item.title, LONGEST_LINE),
            price,
            f"{item.score:.3f}",
            printable(item.reason or "", LONGEST_LINE),
        )
        table.add_row(str(item.position), *shown)
    print_table(PlainConsole(), table)
