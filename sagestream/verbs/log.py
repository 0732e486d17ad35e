"""Log: replays history, to Kafka or directly into a graph."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphstore.config import GraphstoreConfig
from sagestream.interruption import EXIT_CODE, Interruption
from sagestream.line_source import LineSource, open_source
from sagestream.moments import moment_option
from sagestream.printable import BadParameter, PlainConsole, echo_result
from sagestream.stages import Report, Stages
from stream import events
from stream.config import StreamConfig

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from stream.replay import Replayed
    from stream.routes import Event

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(replay)


def replay(
    from_database: Annotated[
        str | None, typer.Option(help="The SQL log to read, as a URL; default: the configured database.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(help="JSON lines of interactions instead, also gzipped; - for standard input."),
    ] = None,
    since: Annotated[
        datetime | None, moment_option("--from", help="Interactions and lists, served and seen, from this time on.")
    ] = None,
    before: Annotated[datetime | None, moment_option("--to", help="And before this one.")] = None,
    user: Annotated[str | None, typer.Option(help="Only this shopper, with their sessions.")] = None,
    rate: Annotated[float, typer.Option(min=0, help="Events a second; 0: flat out.")] = 0.0,
    direct: Annotated[
        bool, typer.Option("--direct", help="Straight into the configured database, without Kafka.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send history again, from the SQL log or a file, to Kafka or straight into the graph: the same graph comes out.

    Catalogue, users' attributes and logins come first, then interactions, served lists and what was seen of them,
    with the ids and times that they had. What is known already counts once, so a replay that was interrupted simply
    runs again.
    """
    if from_database is not None and file is not None:
        raise BadParameter("history comes from --from-database or from --file, not from both")
    from stream.replay import Pace, produce, store

    stages = Stages(PlainConsole(stderr=True))
    told: dict[str, Any] = {"to": "database" if direct else "kafka"}
    graph = GraphstoreConfig()
    with Interruption() as interruption, ExitStack() as stack:
        lines = None
        if file is not None:
            lines = stack.enter_context(open_source(file, interruption))
            source: Iterator[Event] = _chosen(lines, since, before, user)
            share: Callable[[Replayed], float] = lambda _: lines.share  # noqa: E731
        else:
            engine = stack.enter_context(_opened(from_database or graph.sqlalchemy_url))
            if direct:
                _check_apart(engine, graph)
            source, share = _history(engine, stages, since, before, user, interruption)
        with stages.stage("replay", "Replay") as show:
            pace, report = Pace(rate, interruption.sleep), _reporter(show, share)
            if direct:
                from graphstore.session import now_ms
                from sagestream.direct import open_sink

                sink = stack.enter_context(open_sink(graph))
                done = store(sink, source, now=now_ms, report=report, pace=pace)
            else:
                from stream.kafka.producer import EventProducer

                producer = stack.enter_context(EventProducer(StreamConfig()))
                done = produce(producer, source, report=report, pace=pace)
        told |= {"read": done.read, **done.sent}
        if direct:
            told |= {"stored": done.stored, "duplicate": done.duplicate, "erased": done.erased, "late": done.late}
        if lines is not None:
            told["rejected"] = lines.rejected
        told["interrupted"] = interruption.asked
    if told["interrupted"]:
        stages.say(f"interrupted after {done.read:,} events: what was sent stays, run it again for the rest")
    if done.late:
        stages.say((f"{done.late:,} events are older than the compaction of the graph: not stored", "yellow"))
    echo_result(told, " · ".join(f"{name}: {value}" for name, value in told.items()), as_json=as_json)
    if told["interrupted"]:
        raise typer.Exit(EXIT_CODE)
    if told.get("rejected"):
        raise typer.Exit(1)


@contextmanager
def _opened(url: str) -> "Iterator[Engine]":
    """Open the database of an existing log."""
    from graphstore.session import open_existing

    engine = open_existing(url)
    try:
        yield engine
    finally:
        engine.dispose()


def _check_apart(source: "Engine", graph: GraphstoreConfig) -> None:
    from graphstore.history import same_database
    from graphstore.session import open_engine

    target = open_engine(graph.sqlalchemy_url)
    try:
        same = same_database(source, target)
    finally:
        target.dispose()
    if same:
        raise BadParameter(
            "that history is in this very database: name another one with --from-database, or leave out --direct"
        )


def _history(
    engine: "Engine",
    stages: Stages,
    since: datetime | None,
    before: datetime | None,
    user: str | None,
    interruption: Interruption,
) -> "tuple[Iterator[Event], Callable[[Replayed], float]]":
    from graphstore.history import Selection, compaction_horizon, count_rows
    from stream.replay import history_events, until

    selection = Selection(_epoch(since), _epoch(before), user)
    if horizon := compaction_horizon(engine):
        stages.say((f"the log was compacted: of events before {events.utc(horizon):%Y-%m-%d} some are gone", "yellow"))
    total = max(count_rows(engine, selection), 1)
    return until(lambda: interruption.asked, history_events(engine, selection)), lambda done: done.rows / total


def _epoch(time: datetime | None) -> int | None:
    return None if time is None else events.milliseconds(time)


def _chosen(
    lines: LineSource, since: datetime | None, before: datetime | None, user: str | None
) -> "Iterator[events.Interaction]":
    for event in lines.interactions():
        if (
            (since is None or event.event_time >= since)
            and (before is None or event.event_time < before)
            and (user is None or event.user_id == user)
        ):
            yield event


def _reporter(show: Report, share: "Callable[[Replayed], float]") -> "Callable[[Replayed], None]":
    return lambda done: show(f"{done.read:,} events", min(share(done), 1.0))
