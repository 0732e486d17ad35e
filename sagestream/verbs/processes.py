"""Processes: starts each long-running process with its own verb, and prepares the database and the topics."""

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from graphstore.config import GraphstoreConfig
from graphstore.tracing import begin_tracing
from sagestream import runners
from sagestream.printable import echo

PROCESSES = ("init", "worker", "nearline", "publisher", "scheduler", "serve", "ranker", "monitor")


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (init, worker, nearline, publisher, scheduler, serve, ranker, monitor):
        app.command()(verb)


def begin_process(words: Sequence[str]) -> None:
    """Set up log and traces of a process, before anything else may log. Other verbs print what they have to say."""
    if words and words[0] in PROCESSES:
        runners.begin_log(words[0])
        begin_tracing(words[0])


def init() -> None:
    """Bring the database to the newest schema and create the topics. Safe to run again; run it before the processes."""
    from graphstore.session import migrate
    from stream.config import StreamConfig
    from stream.kafka.topics import GIVEN_SECONDS, create_topics

    migrate(GraphstoreConfig().sqlalchemy_url)
    created = create_topics(StreamConfig(), timeout_seconds=GIVEN_SECONDS)
    echo(f"database: migrated · topics created: {', '.join(created) or 'none, all were there'}")


def worker() -> None:
    """Take events from Kafka into the graph and Redis."""
    runners.run_worker()


def nearline() -> None:
    """Refresh the lists of shoppers who did something."""
    runners.run_nearline()


def publisher() -> None:
    """Publish every shopper's list when a new champion is announced."""
    runners.run_publisher()


def scheduler() -> None:
    """Retrain on new events and on requests; promote what passes the gate."""
    runners.run_scheduler()


def serve() -> None:
    """Serve the API and the shop's page."""
    runners.run_serve()


def ranker() -> None:
    """Rank now, with the model, what no stored list answers: carts, sessions, filters, search results."""
    runners.run_ranker()


def monitor(
    what: Annotated[
        Literal["run", "ui"], typer.Argument(help="`run`: the process. `ui`: the drift reports in a browser.")
    ] = "run",
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Of the `ui`, on this machine's loopback address.")
    ] = 8010,
) -> None:
    """Measure click-through and drift; ask for a retrain when they say so.

    `sagestream monitor ui` shows the drift reports over time, with Evidently's own pages, until Ctrl-C. It needs no
    network, and only this machine reaches it.
    """
    if what == "run":
        runners.run_monitor()
    else:
        runners.show_drift_reports(port)
