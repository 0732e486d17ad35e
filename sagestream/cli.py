"""The command line: the verbs of `sagestream.verbs`, and how errors reach whoever typed them.

Exit 0: done. 1: it failed, with one line that says why. 2: the words were wrong.
"""

import sys

import typer
from kafka.errors import KafkaError
from redis.exceptions import RedisError
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from sagestream.embedded import ServiceMissing
from sagestream.playground import PlaygroundFailed
from sagestream.processes import ProcessFailed
from sagestream.shoppers import ShopError
from sagestream.state import StateMismatch
from sagestream.verbs import data, models, playground, processes, readers
from serving.web.server import PortTaken
from stream.producer import DeliveryError
from stream.sources.tabular import UnreadableFile

EXPECTED = (
    DeliveryError,
    KafkaError,
    LookupError,
    OSError,
    ProcessFailed,
    RedisError,
    SQLAlchemyError,
    ServiceMissing,
    ShopError,
    StateMismatch,
    UnreadableFile,
    PlaygroundFailed,
    PortTaken,
)
"""Errors that a user can mend: told in one line. Any other is a fault of ours and keeps its traceback."""

app = typer.Typer(
    name="sagestream",
    help="A streaming recommender for online shops.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for module in (playground, processes, data, models, readers):
    module.register(app)


def main() -> None:
    """Entry of the command `sagestream`."""
    try:
        app()
    except EXPECTED as error:
        Console(stderr=True).print(f"[red]sagestream: {type(error).__name__}:[/red] {error}", highlight=False)
        sys.exit(1)
