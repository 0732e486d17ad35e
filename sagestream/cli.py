"""The command line: the verbs of `sagestream.verbs`, and how errors reach whoever typed them.

Exit 0: done. 1: it failed, with one line that says why. 2: the words were wrong.

Nothing heavy is imported here or at the top of the verbs: each process loads what its own floor needs, and the web
process never sees torch or SQLAlchemy.
"""

import os
import sys

import typer
from rich.console import Console
from rich.text import Text

from graphstore.config import PREFIX
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

EXPECTED = frozenset(
    {
        "kafka.errors.KafkaError",
        "redis.exceptions.RedisError",
        "sqlalchemy.exc.SQLAlchemyError",
        "builtins.ImportError",
        "builtins.LookupError",
        "builtins.OSError",
        "graphstore.redis.rebuild.RebuildRunning",
        "graphstore.session.UnsupportedDatabase",
        "graphstore.snapshots.snapshot.BeforeCompaction",
        "pydantic_core._pydantic_core.ValidationError",
        "pydantic_settings.exceptions.SettingsError",
        "sagestream.datasets.UnknownDataset",
        "sagestream.playground.embedded.ServiceMissing",
        "sagestream.playground.run.PlaygroundFailed",
        "sagestream.playground.processes.ProcessFailed",
        "sagestream.playground.shoppers.ShopError",
        "sagestream.playground.state.StateInUse",
        "sagestream.playground.state.StateMismatch",
        "serving.web.server.PortTaken",
        "stream.kafka.producer.DeliveryError",
        "stream.sources.files.compressed.UnreadableFile",
        "stream.sources.files.event_lines.UnreadableLines",
        "training.benchmark.run.ModelFailed",
        "training.models.bundle.BundleError",
        "training.config_file.ConfigFileError",
        "training.data.dataset.TooFewEvents",
        "training.inspection.item_map.NoMap",
        "training.export.encoder.ExportError",
        "training.inspection.learning_curve.NothingLearned",
        "training.sage.process_group.RanksError",
        "training.benchmark.results_file.ResultsFileError",
        "training.features.sentence_encoder.TextModelError",
        "training.features.snapshot_features.OtherFeatures",
        "training.search.tune.StudyError",
    }
)
"""Errors that a user can mend, by name: told in one line. Any other is a fault of ours and keeps its traceback."""

NO_GRAPH = "no graph here yet: `sagestream init`, or `sagestream import … --direct`"

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
        app()
    except Exception as error:
        if not expected(error):
            raise
        words = (
            ("sagestream: ", NO_GRAPH)
            if without_tables(error)
            else (f"sagestream: {type(error).__name__}: ", str(error))
        )
        shown = Text.assemble((words[0], "red"), words[1])
        Console(stderr=True).print(shown, highlight=False)
        sys.exit(1)


def _warn_of_foreign_variables() -> None:
    """One line on standard error for each variable with our prefix that nothing reads."""
    if any(name.upper().startswith(PREFIX) for name in os.environ):
        from sagestream.settings import foreign_variables

        for message in foreign_variables(os.environ):
            print(f"sagestream: warning: {message}", file=sys.stderr)


def expected(error: Exception) -> bool:
    """Whether it is, or derives from, one of the errors that a user can mend."""
    return bool(_names(error) & EXPECTED)


def without_tables(error: Exception) -> bool:
    """Whether the database says that a table is missing: SQLite in words, PostgreSQL by the class of its error."""
    reason = getattr(error, "orig", None)
    return "sqlalchemy.exc.DBAPIError" in _names(error) and (
        type(reason).__name__ == "UndefinedTable" or str(reason).startswith("no such table")
    )


def _names(error: Exception) -> set[str]:
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
