"""Processes: starts each long-running process with its own verb, and prepares the database and the topics."""

from typing import Annotated, Literal

import typer

from graphstore.logs import set_up_logging
from sagestream import runners
from sagestream.printable import echo


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (init, worker, nearline, publisher, scheduler, serve, monitor):
        app.command()(verb)


def init() -> None:
    """Bring the database to the newest schema and create the topics. Safe to run again; run it before the processes."""
    from graphstore.config import GraphstoreConfig
    from graphstore.session import migrate
    from stream.config import StreamConfig
    from stream.kafka.topics import GIVEN_SECONDS, create_topics

    migrate(GraphstoreConfig().sqlalchemy_url)
    created = create_topics(StreamConfig(), timeout_seconds=GIVEN_SECONDS)
    echo(f"database: migrated · topics created: {', '.join(created) or 'none, all were there'}")


def worker() -> None:
    """Take events from Kafka into the graph and Redis."""
    set_up_logging()
    runners.run_worker()


def nearline() -> None:
    """Refresh the lists of shoppers who did something."""
    set_up_logging()
    runners.run_nearline()


def publisher() -> None:
    """Publish every shopper's list when a new champion is announced."""
    set_up_logging()
    runners.run_publisher()


def scheduler() -> None:
    """Retrain on new events and on requests; promote what passes the gate."""
    set_up_logging()
    runners.run_scheduler()


def serve() -> None:
    """Serve the API and the shop's page."""
    set_up_logging()
    runners.run_serve()


def monitor(
    what: Annotated[
        Literal["run", "ui"], typer.Argument(help="`run`: the process. `ui`: the drift reports in a browser.")
    ] = "run",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the `ui`, on this machine's loopback address.")] = 8010,
) -> None:
    """Measure click-through and drift; ask for a retrain when they say so.

    `sagestream monitor ui` shows the drift reports over time, with Evidently's own pages, until Ctrl-C. It needs no
    network, and only this machine reaches it.
    """
    set_up_logging()
    if what == "run":
        runners.run_monitor()
    else:
        runners.show_drift_reports(port)
