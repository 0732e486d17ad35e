"""The command line: the verbs of `sagestream.verbs`, and how errors reach whoever typed them.

Exit 0: done. 1: it failed, with one line that says why. 2: the words were wrong.

Nothing heavy is imported here or at the top of the verbs: each process loads what its own floor needs, and the web
process never sees torch or SQLAlchemy.
"""

import sys

import typer
from rich.console import Console
from rich.text import Text

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
        "graphstore.rebuild.RebuildRunning",
        "graphstore.session.UnsupportedDatabase",
        "graphstore.snapshot.BeforeCompaction",
        "pydantic_core._pydantic_core.ValidationError",
        "pydantic_settings.exceptions.SettingsError",
        "sagestream.datasets.UnknownDataset",
        "sagestream.embedded.ServiceMissing",
        "sagestream.playground.PlaygroundFailed",
        "sagestream.processes.ProcessFailed",
        "sagestream.shoppers.ShopError",
        "sagestream.state.StateInUse",
        "sagestream.state.StateMismatch",
        "serving.web.server.PortTaken",
        "stream.producer.DeliveryError",
        "stream.sources.files.UnreadableFile",
        "stream.sources.lines.UnreadableLines",
        "training.benchmark.ModelFailed",
        "training.bundle.BundleError",
        "training.config_file.ConfigFileError",
        "training.dataset.TooFewEvents",
        "training.embedding_map.NoMap",
        "training.export.ExportError",
        "training.ranks.RanksError",
        "training.results_file.ResultsFileError",
        "training.sentence_encoder.TextModelError",
        "training.snapshot_features.OtherFeatures",
        "training.tune.StudyError",
    }
)
"""Errors that a user can mend, by name: told in one line. Any other is a fault of ours and keeps its traceback."""

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
    try:
        app()
    except Exception as error:
        if not expected(error):
            raise
        shown = Text.assemble((f"sagestream: {type(error).__name__}: ", "red"), str(error))
        Console(stderr=True).print(shown, highlight=False)
        sys.exit(1)


def expected(error: Exception) -> bool:
    """Whether it is, or derives from, one of the errors that a user can mend."""
    return any(f"{kind.__module__}.{kind.__qualname__}" in EXPECTED for kind in type(error).__mro__)
