"""Data in: files to events, events to the graph, the graph to a snapshot."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from graphstore.config import GraphstoreConfig
from sagestream.datasets import read_dataset
from sagestream.stages import Stages
from stream import events
from stream.config import StreamConfig

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
graph_app = typer.Typer(help="Look at the graph.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("import")(import_)
    app.command()(produce)
    app.command()(preprocess)
    graph_app.command()(report)
    app.add_typer(graph_app, name="graph")


def import_(
    source: Annotated[str, typer.Argument(help="complete-journey, or a CSV or TSV file.")],
    sample: Annotated[int, typer.Option(min=0, help="Shoppers drawn at random; 0: all.")] = 0,
    min_item_users: Annotated[int, typer.Option(min=1, help="Items that fewer shoppers touched are left out.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    direct: Annotated[bool, typer.Option("--direct", help="Straight into the graph, without Kafka.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read a data set and send it as events to Kafka, or straight into the graph through the same ingest."""
    from sagestream import backfill
    from stream.producer import EventProducer

    stages = Stages(Console(stderr=True))
    with stages.stage("read", f"Read {source}"):
        table = read_dataset(source, sample=sample or None, min_item_users=min_item_users, seed=seed)
    for reason, rows in table.rejected.items():
        if rows:
            stages.say(f"left out: {rows:,} rows, {reason}")
    told: dict[str, Any] = {"read": len(table), "items": len(table.items), "rejected": table.rejected}
    total = max(len(table), 1)
    with stages.stage("import", "Import") as show:

        def count(done: int) -> None:
            show(f"{done:,} of {total:,} events", done / total)

        if direct:
            from redis import Redis

            from graphstore.session import migrate, now_ms, open_engine
            from stream.sink import Sink

            graph = GraphstoreConfig()
            migrate(graph.sqlalchemy_url)
            engine, redis = open_engine(graph.sqlalchemy_url), Redis.from_url(graph.redis_url)
            sink = Sink(engine, redis, recent_items=graph.recent_items, trending_items=graph.trending_items)
            sink.store_items(table.items, now=now_ms())
            done = backfill.store(sink, table.events(), now=now_ms, report=count)
            sink.refresh_trending(now=now_ms())
            told |= {"stored": done.stored, "duplicate": done.duplicate}
            redis.close()
            engine.dispose()
        else:
            with EventProducer(StreamConfig()) as producer:
                for item in table.items:
                    producer.send(events.CATALOG, item, key=item.item_id)
                told["produced"] = backfill.produce(producer, table.events(), report=count)
    typer.echo(json.dumps(told) if as_json else " · ".join(f"{name}: {value}" for name, value in told.items()))


def produce(
    file: Annotated[Path, typer.Argument(help="JSON lines, one interaction each; - for standard input.")],
    rate: Annotated[float, typer.Option(min=0, help="Events a second; 0: as fast as Kafka takes them.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Send interactions from a file or standard input to Kafka. A line that is no event is counted and shown."""
    from sagestream.backfill import Pace
    from stream.producer import EventProducer

    lines = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    sent, bad = 0, 0
    with lines, EventProducer(StreamConfig()) as producer:
        pace = Pace(rate)
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                event = events.decode(line, events.Interaction, now=datetime.now(UTC))
            except events.InvalidEvent as error:
                bad += 1
                typer.echo(f"line {number}: {error}", err=True)
                continue
            producer.send(events.INTERACTIONS, event, key=event.user_id)
            sent += 1
            pace.wait(sent)
    told = {"produced": sent, "rejected": bad}
    typer.echo(json.dumps(told) if as_json else f"produced: {sent} · rejected: {bad}")
    if bad:
        raise typer.Exit(1)


def preprocess(
    as_of: Annotated[datetime | None, typer.Option(help="Events before this time (UTC); default: now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take a snapshot of the graph as of a time, with item features, and print where it is."""
    from graphstore.session import now_ms, open_engine
    from graphstore.snapshot import build_snapshot
    from training.trial import featurize

    graph = GraphstoreConfig()
    moment = now_ms() if as_of is None else events.milliseconds(as_of.replace(tzinfo=UTC))
    engine = open_engine(graph.sqlalchemy_url)
    snapshot = build_snapshot(engine, graph.snapshots_dir, as_of=moment, created_at=now_ms(), featurize=featurize)
    engine.dispose()
    told = {"snapshot_id": snapshot.snapshot_id, "path": str(snapshot.path), "interactions": snapshot.num_events}
    typer.echo(json.dumps(told) if as_json else " · ".join(f"{name}: {value}" for name, value in told.items()))


def report(
    snapshot: Annotated[str | None, typer.Argument(help="Name of a snapshot; default: the newest.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print what a snapshot holds: nodes, edges, degrees, times, masks, cold shares."""
    from graphstore.report import get_graph_report, print_graph_report
    from graphstore.snapshot import load_snapshot

    directory = GraphstoreConfig().snapshots_dir
    names = sorted(path.name for path in directory.glob("s*")) if directory.exists() else []
    if snapshot is None and not names:
        raise FileNotFoundError(f"no snapshot in {directory}: make one with `sagestream preprocess`")
    found = load_snapshot(directory / (snapshot or names[-1]))
    if as_json:
        typer.echo(get_graph_report(found, render_as="json"))
    else:
        print_graph_report(found)
