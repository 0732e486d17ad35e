"""Data in: files to events, events to the graph, the graph to a snapshot."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from graphstore.config import GraphstoreConfig
from sagestream.datasets import read_dataset
from sagestream.interruption import EXIT_CODE, Interruption
from sagestream.line_source import open_source
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
    from itertools import chain

    from graphstore.session import now_ms
    from sagestream.direct import open_sink
    from stream import replay
    from stream.producer import EventProducer

    stages = Stages(Console(stderr=True))
    with stages.stage("read", f"Read {source}"):
        table = read_dataset(source, sample=sample or None, min_item_users=min_item_users, seed=seed)
    for reason, rows in table.rejected.items():
        if rows:
            stages.say(f"left out: {rows:,} rows, {reason}")
    told: dict[str, Any] = {"read": len(table), "items": len(table.items), "rejected": table.rejected}
    total = max(len(table) + len(table.items), 1)
    history: chain[replay.Event] = chain(table.items, table.events())
    with stages.stage("import", "Import") as show:

        def count(done: replay.Replayed) -> None:
            show(f"{done.read:,} of {total:,} events", done.read / total)

        if direct:
            with open_sink(GraphstoreConfig()) as sink:
                done = replay.store(sink, history, now=now_ms, report=count)
            told |= {"stored": done.stored, "duplicate": done.duplicate, "erased": done.erased, "late": done.late}
        else:
            with EventProducer(StreamConfig()) as producer:
                done = replay.produce(producer, history, report=count)
            told["produced"] = done.sent.get(events.INTERACTIONS, 0)
    typer.echo(json.dumps(told) if as_json else " · ".join(f"{name}: {value}" for name, value in told.items()))


def produce(
    file: Annotated[str, typer.Argument(help="JSON lines, one interaction each, also gzipped; - for standard input.")],
    rate: Annotated[float, typer.Option(min=0, help="Events a second; 0: as fast as Kafka takes them.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Send interactions from a file or standard input to Kafka. A line that is no event is counted and shown."""
    from stream import replay
    from stream.producer import EventProducer

    with Interruption() as interruption, open_source(file, interruption) as source:
        with EventProducer(StreamConfig()) as producer:
            pace = replay.Pace(rate, interruption.sleep)
            done = replay.produce(producer, source.interactions(), report=lambda _: None, pace=pace)
        interrupted = interruption.asked
    told = {"produced": done.read, "rejected": source.rejected}
    typer.echo(json.dumps(told) if as_json else f"produced: {done.read} · rejected: {source.rejected}")
    if interrupted:
        raise typer.Exit(EXIT_CODE)
    if source.rejected:
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
    from graphstore.snapshot_files import load_snapshot, newest_snapshot

    directory = GraphstoreConfig().snapshots_dir
    found = load_snapshot(directory / snapshot if snapshot else newest_snapshot(directory))
    if as_json:
        typer.echo(get_graph_report(found, render_as="json"))
    else:
        print_graph_report(found)
