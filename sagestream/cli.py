"""The command line: runs the verbs of `sagestream.verbs` and shows their errors.

Exit code 0: done. 1: failed, with one line that gives the reason, or with the traceback of a fault in Sagestream. 2:
wrong arguments or options, or a file that is not understood without one.

This module and the top of the verbs import no heavy modules. Each process loads only the modules that it needs, and the
web process never loads torch or SQLAlchemy.
"""

import logging
import os
import sys
import traceback
from collections.abc import Sequence

import typer
from rich.text import Text

from graphstore.config import PREFIX, GraphstoreConfig
from graphstore.logs import current_setup
from graphstore.private_files import close_directory, private_files
from sagestream.error_messages import exit_code, message
from sagestream.playground.address_file import adopt
from sagestream.printable import PlainConsole, echo, printable, printable_lines
from sagestream.verbs import (
    audit,
    benchmark,
    data,
    dlq,
    experiments,
    export,
    log,
    models,
    off_policy,
    offline,
    pictures,
    playground,
    processes,
    readers,
    retrain,
    scoring,
    simulation,
    slots,
    store,
    tuning,
)

logger = logging.getLogger(__name__)

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
for module in (
    *(playground, processes, data, log, dlq, models, retrain, audit, experiments, off_policy),
    *(benchmark, offline, tuning, pictures, export, scoring, readers, slots, store, simulation),
):
    module.register(app)


def main() -> None:
    """Run the command `sagestream`."""
    try:
        processes.begin_process(sys.argv[1:])
        _warn_of_foreign_variables()
        find_services(sys.argv[1:])
        with private_files():
            close_state_directory(sys.argv[1:])
            app()
    except Exception as error:  # noqa: BLE001 - the last handler: shows a line or the traceback
        if logs_json():
            log_end(error)
        else:
            tell(error, PlainConsole(stderr=True, soft_wrap=True))
        sys.exit(exit_code(error))


def _warn_of_foreign_variables() -> None:
    """Print one line on standard error for each variable with the prefix that no package reads."""
    if any(name.upper().startswith(PREFIX) for name in os.environ):
        from sagestream.settings import foreign_variables

        for warning in foreign_variables(os.environ):
            if logs_json():
                logger.warning("a variable of the environment: %s", warning)
            else:
                echo(f"sagestream: warning: {warning}", err=True)


def find_services(words: Sequence[str]) -> None:
    """Use the services of a running playground as defaults. Call this before any configuration is read."""
    if not words or words[0] == "playground" or "--help" in words:
        return
    if said := adopt(GraphstoreConfig().state_dir, os.environ):
        _say(said)


def close_state_directory(words: Sequence[str]) -> None:
    """Close an open state directory to others, and say so. The playground names a directory of its own."""
    if not words or words[0] == "playground" or "--help" in words:
        return
    if said := close_directory(GraphstoreConfig().state_dir):
        _say(f"sagestream: {said}")


def logs_json() -> bool:
    """Return whether this process writes its log as JSON. Then nothing else may stand between the lines."""
    setup = current_setup()
    return setup is not None and setup.form == "json"


def _say(text: str) -> None:
    if logs_json():
        logger.info("%s", text)
    else:
        echo(text, err=True)


def log_end(error: Exception) -> None:
    """Log why the process ends: one line for an error that the user can fix, and the traceback of a fault."""
    line = message(error)
    logger.critical("the process ends: %s", line or FAULT, exc_info=error if line is None else None)


def tell(error: Exception, console: PlainConsole) -> None:
    """Print one line for an error that the user can fix, or the traceback of a fault and how to report it."""
    line = message(error)
    if line is None:
        console.file.write(printable_lines("".join(traceback.format_exception(error))))
        console.print(FAULT)
    else:
        shown = "\n".join(printable(part, LONGEST_LINE) for part in line.splitlines())
        console.print(Text.assemble(("sagestream: ", "red"), shown))
