"""Playground: starts the whole loop with one command."""

import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from graphstore.private_files import close_directory
from sagestream.datasets import COMPLETE_JOURNEY, TableWords, UnfitWords
from sagestream.printable import BadParameter, PlainConsole, echo_json
from sagestream.stages import Stages
from sagestream.verbs.table_options import with_table_options

if TYPE_CHECKING:
    from sagestream.playground.run import Playground


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(with_table_options(playground))


def playground(
    state_dir: Annotated[Path, typer.Option(help="Directory of everything that is kept.")] = Path(".sagestream"),
    dataset: Annotated[str, typer.Option(help="complete-journey, or a file, read as a table.")] = COMPLETE_JOURNEY,
    sample: Annotated[int, typer.Option(min=0, help="Shoppers drawn from the data set; 0: all.")] = 800,
    min_item_users: Annotated[int, typer.Option(min=1, help="Items that fewer shoppers touched are left out.")] = 20,
    rate: Annotated[float, typer.Option(min=0.1, max=5000, help="Live events a second.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Seed of the sample and of the training.")] = 0,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the shop; another one where it is taken.")
    ] = 8000,
    broker: Annotated[str | None, typer.Option(help="Kafka that runs already, host:port.")] = None,
    redis_url: Annotated[str | None, typer.Option(help="Redis that runs already.")] = None,
    database_url: Annotated[str | None, typer.Option(help="PostgreSQL or SQLite URL of the graph.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the state directory first.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Walk the loop once, then stop everything.")] = False,
    *,
    words: TableWords,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object at the end.")] = False,
) -> None:
    """Start the whole loop on this machine: services, a year of purchases, models, processes, shoppers.

    Nothing needs to be installed or running: the broker is Apache Kafka where KAFKA_HOME names one, else embedded;
    Redis is embedded, the graph is SQLite. Ctrl-C stops everything; the next start goes on from the state directory.
    Its slots.toml says what six places of the shop show: change it, and look at the shop.
    """
    from sagestream.playground.options import Options
    from sagestream.playground.run import Playground
    from sagestream.playground.services import Given

    try:
        words.options()
        if dataset == COMPLETE_JOURNEY and words:
            raise UnfitWords(f"{dataset} is no file with columns")
    except UnfitWords as error:
        raise BadParameter(str(error)) from error
    options = Options(
        state_dir=state_dir,
        dataset=dataset,
        sample=sample or None,
        min_item_users=min_item_users,
        rate=rate,
        seed=seed,
        port=port,
        fresh=fresh,
        once=once,
        words=words,
        given=Given(broker=broker, redis_url=redis_url, database_url=database_url),
    )
    # With --json, standard output holds only the JSON object.
    console = PlainConsole(stderr=as_json, soft_wrap=True)
    if said := close_directory(state_dir):
        console.print(said)
    run = Playground(options, Stages(console))
    _stop_on_signals(run)
    try:
        run.run()
    except KeyboardInterrupt:
        console.print("interrupted: every process is stopped")
        raise typer.Exit(130) from None
    finally:
        if as_json:
            echo_json(run.outcome.as_json(), indent=2)


def _stop_on_signals(run: "Playground") -> None:
    """Let Ctrl-C and SIGTERM end the live stage in order. Earlier stages do not check `stop`: they are interrupted."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        if run.stop.is_set() or not run.live:
            raise KeyboardInterrupt
        run.stop.set()

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
