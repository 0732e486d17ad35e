"""Data: imports files as events, stores events in the graph, and takes snapshots of the graph."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graphstore.config import GraphstoreConfig
from graphstore.errors import file_errors
from sagestream.datasets import SOURCES, TableWords
from sagestream.extras import require
from sagestream.interruption import EXIT_CODE, Interruption
from sagestream.line_source import open_source
from sagestream.printable import BadParameter, PlainConsole, echo, echo_result
from sagestream.stages import Stages
from sagestream.text_encoder import TextEncoder, with_text_encoder
from sagestream.verbs.sources import (
    SHOWN_REJECTED,
    Items,
    NoRedis,
    Paths,
    RejectedFile,
    ShowRejected,
    chosen,
    end,
    in_words,
    run_import,
)
from sagestream.verbs.table_options import with_table_options
from stream import events
from stream.config import StreamConfig

if TYPE_CHECKING:
    from graphstore.snapshots.files import Snapshot
    from training.config import TrainingConfig

Form = Literal["segment", "ga4", "cloudevents", "snowplow", "otto", "shopify", "woocommerce"]
"""The names in `stream.sources.shapes.registry`, as Typer needs them."""
MAX_SEED = 2**32 - 1
PICTURES = (".png", ".svg")
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
graph_app = typer.Typer(help="Look at the graph.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("import")(with_table_options(import_))
    app.command()(produce)
    app.command()(with_table_options(preprocess))
    graph_app.command()(report)
    app.add_typer(graph_app, name="graph")


def import_(
    source: Annotated[str, typer.Argument(help=f"{', '.join(SOURCES)}; or a file, read as a table.")],
    paths: Paths = None,
    items: Items = None,
    *,
    words: TableWords,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read everything and say what was understood; store nothing.")
    ] = False,
    sample: Annotated[int, typer.Option(min=0, help="Shoppers drawn at random, in memory; 0: all.")] = 0,
    min_item_users: Annotated[int, typer.Option(min=1, help="Items that fewer shoppers touched are left out.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the sample.")] = 0,
    direct: Annotated[bool, typer.Option("--direct", help="Straight into the graph, without Kafka.")] = False,
    no_redis: NoRedis = False,
    show_rejected: ShowRejected = SHOWN_REJECTED,
    rejected: RejectedFile = None,
    as_json: AsJson = False,
) -> None:
    """Read a data set and send it as events to Kafka, or straight into the graph through the same ingest.

    Files are read block by block, plain or packed by gzip, bz2, xz, Zstandard or zip. Rows that are no events are
    shown, counted and left out. The same row of an unchanged file is the same event: an import that was interrupted
    simply runs again. A file that has changed or grown is another one, and all its rows are new events.
    """
    from sagestream.importer import Sample

    if no_redis and not (direct or dry_run):
        raise BadParameter("without Kafka only: give --direct, too", param_hint="--no-redis")
    stages = Stages(PlainConsole(stderr=True))
    done = run_import(
        chosen(source, paths, items=items, words=words),
        stages,
        sample=Sample(sample or None, min_item_users, seed),
        way="dry" if dry_run else "direct" if direct else "kafka",
        redis_too=not no_redis,
        shown=show_rejected,
        rejected=rejected,
    )
    told = done.told | {"interrupted": done.interrupted}
    echo_result(told, in_words(told), as_json=as_json)
    end(done)


def produce(
    file: Annotated[str, typer.Argument(help="JSON lines, one interaction each, also gzipped; - for standard input.")],
    form: Annotated[
        Form | None,
        typer.Option("--format", help="Of messages of a tracker or a shop system; default: our own events."),
    ] = None,
    rate: Annotated[float, typer.Option(min=0, help="Events a second; 0: as fast as Kafka takes them.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Send events from a file or standard input to Kafka. A line that gives no event is counted and shown."""
    from stream import replay
    from stream.kafka.producer import EventProducer

    with Interruption() as interruption, open_source(file, interruption) as source:
        with EventProducer(StreamConfig()) as producer:
            pace = replay.Pace(rate, interruption.sleep)
            events_of = source.interactions() if form is None else source.translated(form)
            done = replay.produce(producer, events_of, report=lambda _: None, pace=pace)
        interrupted = interruption.asked
    told = {"produced": done.read, "rejected": source.rejected}
    echo_result(told, f"produced: {done.read} · rejected: {source.rejected}", as_json=as_json)
    if interrupted:
        raise typer.Exit(EXIT_CODE)
    if source.rejected:
        raise typer.Exit(1)


def preprocess(
    source: Annotated[
        str | None,
        typer.Argument(help="Import this into the graph first, as `import --direct` does.", show_default=False),
    ] = None,
    paths: Paths = None,
    items: Items = None,
    *,
    words: TableWords,
    show_rejected: ShowRejected = SHOWN_REJECTED,
    rejected: RejectedFile = None,
    no_redis: NoRedis = False,
    as_of: Annotated[datetime | None, typer.Option(help="Events before this time (UTC); default: now.")] = None,
    text_encoder: TextEncoder = None,
    as_json: AsJson = False,
) -> None:
    """Take a snapshot of the graph as of a time, with item features, and print where it is.

    With a SOURCE, that is imported into the graph first.
    """
    from training.config import TrainingConfig
    from training.config_file import current_config

    config = with_text_encoder(current_config(TrainingConfig()), text_encoder)
    imported: dict[str, dict[str, Any]] = {}
    if source is not None:
        done = run_import(
            chosen(source, paths, items=items, words=words),
            Stages(PlainConsole(stderr=True)),
            way="direct",
            redis_too=not no_redis,
            shown=show_rejected,
            rejected=rejected,
        )
        end(done)
        imported = {"imported": done.told}
    elif items or words or no_redis:
        raise BadParameter("options of an import need a SOURCE")
    snapshot = take_snapshot(GraphstoreConfig(), config, as_of=as_of)
    told = {"snapshot_id": snapshot.snapshot_id, "path": str(snapshot.path), "interactions": snapshot.num_events}
    shown = [f"{name}: {value}" for name, value in told.items()]
    shown += [f"{name}: {in_words(done)}" for name, done in imported.items()]
    echo_result(told | imported, " · ".join(shown), as_json=as_json)


def take_snapshot(graph: GraphstoreConfig, config: "TrainingConfig", *, as_of: datetime | None) -> "Snapshot":
    """Take a snapshot of the graph as of a time (UTC; None: now), with the features of its items, and check these."""
    from graphstore.session import now_ms, open_engine
    from graphstore.snapshots.snapshot import configured_snapshot
    from training.features.snapshot_features import check_features, featurizer

    moment = now_ms() if as_of is None else events.milliseconds(as_of.replace(tzinfo=UTC))
    engine = open_engine(graph.sqlalchemy_url)
    snapshot = configured_snapshot(engine, graph, as_of=moment, created_at=now_ms(), featurize=featurizer(config))
    engine.dispose()
    check_features(snapshot, config)
    return snapshot


def report(
    snapshot: Annotated[
        str | None, typer.Argument(help="Name or directory of a snapshot; default: the newest.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the degrees of shoppers and items into this PNG or SVG file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what a snapshot holds: nodes, edges, degrees, times, masks, cold shares."""
    if picture is not None and (picture.suffix not in PICTURES or not picture.resolve().parent.is_dir()):
        raise BadParameter(f"{picture} is no {' or '.join(PICTURES)} in a directory", param_hint="--picture")

    from graphstore.snapshots.files import load_snapshot
    from graphstore.snapshots.report import degrees, get_graph_report, print_graph_report
    from sagestream.registered import snapshot_directory

    found = load_snapshot(snapshot_directory(GraphstoreConfig(), snapshot))
    if picture is not None:
        require("matplotlib")
        from training.inspection.plots import degree_distribution, save

        named = {f"{kind}s": degree.numpy() for kind, degree in degrees(found).items()}
        with file_errors(picture):
            save(degree_distribution(named, title=f"Degrees in snapshot {found.snapshot_id}"), picture)
    if as_json:
        echo(get_graph_report(found, render_as="json"))
    else:
        print_graph_report(found, PlainConsole())
