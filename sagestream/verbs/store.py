"""Store: forgets a shopper everywhere, compacts old interactions, and rebuilds Redis from SQL."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from graphstore.config import GraphstoreConfig
from graphstore.errors import reason
from sagestream.error_messages import message
from sagestream.moments import shown_time
from sagestream.printable import BadParameter, PlainConsole, echo, echo_json, echo_result, printable
from sagestream.stages import Stages
from sagestream.tables import print_table
from stream.config import StreamConfig
from stream.events import MAX_ID_LENGTH

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine

    from graphstore.erase import Erasure

INCOMPLETE = "the erasure is not complete: run the same command again"

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
cache_app = typer.Typer(help="What Redis holds.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(forget)
    app.command()(compact)
    cache_app.command()(rebuild)
    app.add_typer(cache_app, name="cache")


def forget(
    user: Annotated[str | None, typer.Argument(help="The id of the shopper, or of one of their sessions.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Show who was forgotten, and when.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget a shopper with all sessions: rows, edges, Redis, lists, impressions, snapshots. A tombstone stays."""
    from graphstore.session import open_engine

    engine = open_engine(GraphstoreConfig().sqlalchemy_url)
    try:
        if show:
            _list(engine, as_json=as_json)
        elif user is None or not 1 <= len(user) <= MAX_ID_LENGTH or "\x00" in user:
            raise BadParameter(f"an id has 1 to {MAX_ID_LENGTH} characters", param_hint="USER")
        else:
            _forget(engine, user, asked=yes or not sys.stdin.isatty(), as_json=as_json)
    finally:
        engine.dispose()


def _forget(engine: "Engine", user: str, *, asked: bool, as_json: bool) -> None:
    from graphstore.erase import find_person
    from graphstore.redis.connection import open_redis
    from graphstore.session import now_ms
    from serving.forget import forget as forget_person

    graph, stream = GraphstoreConfig(), StreamConfig()
    person = find_person(engine, user)
    redis = open_redis(graph.redis_url)
    try:
        without_redis, without_kafka = _without_redis(redis), _without_kafka(stream)
        for said in filter(None, (without_redis, without_kafka)):
            echo(said, err=True)
        if not asked:
            others = f" with {len(person.ids) - 1} more ids" if len(person.ids) > 1 else ""
            known = f"{person.interactions:,} interactions" if person.known else "nothing in the graph yet"
            typer.confirm(
                f"Forget {printable(user, MAX_ID_LENGTH)}{others}, {known}? This cannot be undone", abort=True, err=True
            )
        try:
            reached = None if without_redis else redis
            done = forget_person(engine, reached, stream, graph.snapshots_dir, user, now=now_ms)
        except BaseException:
            echo(INCOMPLETE, err=True)
            raise
    finally:
        redis.close()
    echo_result(asdict(done), "\n".join(_told(done)), as_json=as_json)
    if done.completed_at is None:
        echo(INCOMPLETE, err=True)
        raise typer.Exit(1)


def _without_redis(redis: "Redis") -> str | None:
    """Return a message about the data that stays while Redis is unreachable, or None when it is reachable."""
    from redis.exceptions import RedisError

    try:
        redis.ping()
    except RedisError as error:
        why = message(error) or reason(error)
        return f"{why}\nwhat Redis holds of this person (lists, recent items) stays until you run this again with Redis"
    return None


def _without_kafka(stream: StreamConfig) -> str | None:
    """Return a message about the data that stays while Kafka is unreachable, or None when it is reachable."""
    from kafka.errors import KafkaError

    from stream.kafka.broker import check_reachable

    try:
        check_reachable(stream)
    except KafkaError as error:
        why = message(error) or reason(error)
        return f"{why}\nwhat Kafka holds of this person (attributes, raw events) stays as long as its topics keep it"
    return None


def _told(done: "Erasure") -> list[str]:
    """Return the erasure's receipt as lines of text."""
    receipt: dict[str, Any] = {"requested": shown_time(done.requested_at), "completed": shown_time(done.completed_at)}
    receipt |= {name: part for name, part in done.receipt.items() if name != "erasure"}
    return [f"forgotten: {done.user_id}", *(f"  {name}: {_words(part)}" for name, part in receipt.items())]


def _words(part: Any) -> str:
    if isinstance(part, dict):
        return ", ".join(f"{name} {_words(value)}" for name, value in part.items())
    return f"{part:,}" if isinstance(part, int) and not isinstance(part, bool) else str(part)


def _list(engine: "Engine", *, as_json: bool) -> None:
    from graphstore.erase import list_erasures

    found = list_erasures(engine)
    if as_json:
        echo_json([asdict(erasure) for erasure in found])
        return
    table = Table("user", "ids", "requested", "completed")
    for erasure in found:
        completed = shown_time(erasure.completed_at) if erasure.completed_at else "no: run it again"
        table.add_row(
            printable(erasure.user_id, MAX_ID_LENGTH),
            str(len(erasure.ids)),
            shown_time(erasure.requested_at),
            completed,
        )
    print_table(PlainConsole(), table)


def compact(
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Age from which; default: SAGESTREAM_RETENTION_DAYS.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compact old interactions: of each shopper, item and type the newest stays; counters stay. Beside workers."""
    from graphstore.retention import DAY_MS, compact, prune_snapshots
    from graphstore.session import now_ms, open_engine

    graph = GraphstoreConfig()
    age = days or graph.retention_days
    if not age:
        raise BadParameter("say from which age on, or set SAGESTREAM_RETENTION_DAYS", param_hint="--days")
    engine = open_engine(graph.sqlalchemy_url)
    try:
        with Stages(PlainConsole(stderr=True)).stage("compact", f"Compact what is older than {age} days") as report:
            done = compact(
                engine,
                before=now_ms() - age * DAY_MS,
                progress=lambda done, total: report(f"{done:,} of {total:,} shoppers", done / max(total, 1)),
            )
    finally:
        engine.dispose()
    told = {**asdict(done), "snapshots": len(prune_snapshots(graph.snapshots_dir, keep=graph.snapshots_kept))}
    shown = "deleted: " + " · ".join(f"{name}: {value:,}" for name, value in told.items())
    echo_result(told, shown, as_json=as_json)


def rebuild(as_json: AsJson = False) -> None:
    """Write all of Redis from SQL. Other processes may run meanwhile. Keys that SQL does not know are removed."""
    from graphstore.redis import rebuild as rebuilding
    from graphstore.redis.connection import open_redis
    from graphstore.redis.hot import HotLimits
    from graphstore.session import now_ms, open_engine
    from serving.publisher import RECONCILE_SECONDS

    graph = GraphstoreConfig()
    engine = open_engine(graph.sqlalchemy_url)
    redis = open_redis(graph.redis_url)
    try:
        with Stages(PlainConsole(stderr=True)).stage("rebuild", "Rebuild Redis from SQL") as report:
            done = rebuilding.rebuild(
                engine,
                redis,
                now=now_ms,
                limits=HotLimits(visitor_days=graph.visitor_days),
                progress=lambda done, total: report(f"{done:,} of {total:,} shoppers", done / max(total, 1)),
            )
    finally:
        redis.close()
        engine.dispose()
    if as_json:
        echo_json(asdict(done))
        return
    echo(" · ".join(f"{name}: {value:,}" for name, value in asdict(done).items()))
    echo(
        f"lists: a running publisher writes them within {RECONCILE_SECONDS:g} s and its own time, if their pointer is "
        "gone"
    )
