"""The command line: the verbs of `sagestream.verbs`, and how errors reach whoever typed them.

Exit 0: done. 1: it failed, with one line that says why, or with the traceback of a fault of ours. 2: the words were
wrong.

Nothing heavy is imported here or at the top of the verbs: each process loads what its own floor needs, and the web
process never sees torch or SQLAlchemy.
"""

import os
import sys
import traceback
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.text import Text

from graphstore.config import PREFIX, GraphstoreConfig
from sagestream.error_messages import message
from sagestream.playground.address_file import adopt
from sagestream.printable import printable
from sagestream.verbs import (
    data,
    dlq,
    export,
    log,
    models,
    offline,
    pictures,
    playground,
    processes,
    readers,
    store,
    tuning,
)

LONGEST_LINE = 2000

FAULT = (
    "This is a fault in Sagestream, not in what you typed. Please report it, with the lines above, in the issue "
    "tracker of the repository."
)

app = typer.Typer(
    name="sagestream",
    help="A streaming recommender for online shops.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for module in (playground, processes, data, log, dlq, models, offline, tuning, pictures, export, readers, store):
    module.register(app)


def main() -> None:
    """Entry of the command `sagestream`."""
    _warn_of_foreign_variables()
    try:
        find_services(sys.argv[1:])
        app()
    except Exception as error:  # noqa: BLE001 - nobody is behind this: it is told, or shown whole
        tell(error, Console(stderr=True, soft_wrap=True))
        sys.exit(1)


def _warn_of_foreign_variables() -> None:
    """One line on standard error for each variable with our prefix that nothing reads."""
    if any(name.upper().startswith(PREFIX) for name in os.environ):
        from sagestream.settings import foreign_variables

        for warning in foreign_variables(os.environ):
            print(f"sagestream: warning: {warning}", file=sys.stderr)


def find_services(words: Sequence[str]) -> None:
    """Beside a running playground a verb takes its services as defaults; before any configuration is read."""
    if not words or words[0] == "playground" or "--help" in words:
        return
    if said := adopt(GraphstoreConfig().state_dir, os.environ):
        typer.echo(said, err=True)


def tell(error: Exception, console: Console) -> None:
    """One line for an error that a user can mend; the traceback of any other, and what to do with it."""
    line = message(error)
    if line is None:
        traceback.print_exception(error, file=console.file)
        console.print(FAULT, highlight=False)
    else:
        shown = "\n".join(printable(part, LONGEST_LINE) for part in line.splitlines())
        console.print(Text.assemble(("sagestream: ", "red"), shown), highlight=False)
