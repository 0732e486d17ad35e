"""What readers see, from the command line: lists, similar items, reasons, the report, and the state of the house."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from graphstore.config import GraphstoreConfig
from serving import cache
from serving.config import ServingConfig
from serving.recommend import ListedItem, NothingPublished, Storefront, UnknownItem
from serving.recommend import recommendations as serve_recommendations
from serving.recommend import similar as serve_similar

if TYPE_CHECKING:
    from redis import Redis

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Count = Annotated[int, typer.Option("--k", min=1, max=100, help="How many items.")]
User = Annotated[str, typer.Argument(help="The shopper's id.")]
ItemId = Annotated[str, typer.Argument(help="The item's id.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (recommend, similar, explain, report, doctor):
        app.command()(verb)


def _storefront() -> "tuple[Redis, Storefront]":
    config = ServingConfig()
    redis = cache.connect(GraphstoreConfig().redis_url, timeout_seconds=config.cache_timeout_seconds)
    return redis, Storefront.open(redis, pointer_seconds=config.pointer_seconds, item_seconds=config.item_seconds)


def recommend(
    user: Annotated[str, typer.Argument(help="The shopper's id.")], k: Count = 20, as_json: AsJson = False
) -> None:
    """A shopper's list, as the API serves it."""
    redis, store = _storefront()
    try:
        served = serve_recommendations(store, user, k=k, explained=True, now=datetime.now(UTC))
    except NothingPublished as error:
        raise LookupError(str(error)) from error
    finally:
        redis.close()
    title = f"{user}: {served.source} list of {served.model_version}, {served.as_of:%Y-%m-%d %H:%M:%S} UTC"
    _print(title, served.items, msgspec.to_builtins(served), as_json=as_json)


def similar(
    item: Annotated[str, typer.Argument(help="The item's id.")], k: Count = 20, as_json: AsJson = False
) -> None:
    """The items closest to one."""
    redis, store = _storefront()
    try:
        found = serve_similar(store, item, k=k)
    except (NothingPublished, UnknownItem) as error:
        raise LookupError(str(error)) from error
    finally:
        redis.close()
    _print(f"similar to {item}, by {found.model_version}", found.items, msgspec.to_builtins(found), as_json=as_json)


def explain(user: User, item: ItemId, as_json: AsJson = False) -> None:
    """Why an item stands in a shopper's list, and where."""
    redis, store = _storefront()
    try:
        served = serve_recommendations(
            store, user, k=ServingConfig().list_length, explained=True, now=datetime.now(UTC)
        )
    except NothingPublished as error:
        raise LookupError(str(error)) from error
    finally:
        redis.close()
    place = next((listed for listed in served.items if listed.item_id == item), None)
    if place is None:
        raise LookupError(f"{item} is not among the {len(served.items)} items of {user}'s list")
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(place)))
    else:
        typer.echo(f"{place.title or item}: position {place.position}, score {place.score:.3f}, {place.reason}")


def report(
    hours: Annotated[float, typer.Option(min=0.01, max=24 * 366, help="Hours back from now.")] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Click-through of the last hours, by model, slot and position, and the newest drift report."""
    from graphstore.session import now_ms, open_engine, read
    from monitoring.ctr import ctr_by_segment
    from sagestream.outcome import newest_drift

    engine = open_engine(GraphstoreConfig().sqlalchemy_url)
    now = now_ms()
    start = now - int(hours * 3_600_000)
    with read(engine) as connection:
        segments = ctr_by_segment(connection, start=start, end=now)
        drift = newest_drift(connection, since=start)
    engine.dispose()
    if as_json:
        typer.echo(json.dumps({"ctr": {name: vars(figure) for name, figure in segments.items()}, "drift": drift}))
        return
    table = Table("segment", "impressions", "clicks", "CTR", "95 % interval", title=f"the last {hours:g} hours")
    for name, figure in segments.items():
        shown = ("–", "") if figure.value is None else (f"{figure.value:.2%}", f"{figure.low:.2%} – {figure.high:.2%}")
        table.add_row(name, f"{figure.impressions:,}", f"{figure.clicks:,}", *shown)
    console = Console()
    console.print(table)
    if drift is None:
        console.print("no drift report yet")
    else:
        console.print(f"drift: {drift['verdict']}, share of columns {drift['share']}, {drift['report_html']}")


def doctor(as_json: AsJson = False) -> None:
    """What is up, what is missing, and how far behind the stream is. Exit 1 where something is wrong."""
    from sagestream.doctor import examine

    checks = examine()
    if as_json:
        typer.echo(json.dumps([vars(check) for check in checks]))
    else:
        table = Table("", "what", "finding")
        for check in checks:
            table.add_row("[green]✓[/green]" if check.ok else "[red]✗[/red]", check.name, check.finding)
        Console().print(table)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _print(title: str, items: list[ListedItem], whole: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(whole, default=str))
        return
    table = Table("", "item", "title", "price", "score", "why", title=title)
    for item in items:
        price = "" if item.price is None else f"{item.price:.2f}"
        table.add_row(str(item.position), item.item_id, item.title, price, f"{item.score:.3f}", item.reason or "")
    Console().print(table)
