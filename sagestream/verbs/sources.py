"""Sources: the arguments and options that name a data source, and the import from this source.

Arrives: arguments and options of `import` and `preprocess`. Leaves: the result of the import. Next: the verbs print it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sagestream.datasets import TableWords, UnfitWords, choose
from sagestream.interruption import EXIT_CODE, Interruption
from sagestream.printable import BadParameter
from sagestream.stages import Stages

if TYPE_CHECKING:
    from sagestream.datasets import Chosen
    from sagestream.importer import Imported, Sample, Way

SHOWN_REJECTED = 5

Paths = Annotated[
    list[Path] | None, typer.Argument(help="Its files, or folders of them; also its items.", show_default=False)
]
Items = Annotated[
    list[Path] | None,
    typer.Option("--items", help="A file of items: title, categories, brand, price.", show_default=False),
]
ShowRejected = Annotated[int, typer.Option(min=0, help="Rejected rows that are shown, of each reason.")]
RejectedFile = Annotated[
    Path | None,
    typer.Option("--rejected", help="Write all rejected rows to this new file, as JSON.", show_default=False),
]
NoRedis = Annotated[
    bool, typer.Option("--no-redis", help="Into SQL alone: no service is needed, `cache rebuild` fills Redis later.")
]


def chosen(source: str, paths: list[Path] | None, *, items: list[Path] | None, words: TableWords) -> "Chosen":
    """Return the source that the options name. Raises `typer.BadParameter` for options that do not fit together."""
    try:
        return choose(source, paths or [], items=items or [], words=words)
    except UnfitWords as error:
        raise BadParameter(str(error)) from error


def run_import(
    chosen: "Chosen",
    stages: Stages,
    *,
    sample: "Sample | None" = None,
    way: "Way",
    redis_too: bool,
    shown: int,
    rejected: Path | None,
) -> "Imported":
    """Run the import until it ends or is interrupted.

    Args:
        chosen: The source.
        stages: Shows the progress.
        sample: Which shoppers and items to import; None for all.
        way: Where the events go: straight into the graph, to Kafka, or nowhere.
        redis_too: Also write to Redis.
        shown: Number of rejected rows to show for each reason.
        rejected: New file for all rejected rows.

    Raises:
        typer.BadParameter: The file `rejected` exists already.
    """
    if rejected is not None and rejected.exists():
        raise BadParameter(f"{rejected} exists, and would be written over: name a new file", param_hint="--rejected")
    from sagestream.importer import Importer, Sample

    with Interruption() as interruption:
        with stages.stage("open", f"Look at {chosen.name}"):
            source = chosen.open()
        importer = Importer(chosen.name, source, stages, interruption, sample or Sample(), shown, rejected, redis_too)
        return importer.run(way)


def in_words(told: Mapping[str, Any]) -> str:
    """Return the result of an import as a line of text, without the file forms, which are shown at the start."""
    words = []
    for name, value in told.items():
        if name == "rejected":
            reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in value.items())
            words.append(f"rejected: {sum(value.values()):,}" + (f" ({reasons})" if reasons else ""))
        elif name == "interrupted":
            words.extend([name] if value else [])
        elif name not in ("forms", "understood"):
            words.append(f"{name}: {value:,}")
    return " · ".join(words)


def end(done: "Imported") -> None:
    """Raise the import's error, an exit after an interruption, or an error when all rows were rejected."""
    from stream.sources.files.compressed import EmptyFile, UnreadableFile

    if done.failure is not None:
        raise done.failure
    if done.interrupted:
        raise typer.Exit(EXIT_CODE)
    rejected = sum(done.told["rejected"].values())
    if not done.told["read"] and not done.told["items"]:
        if not rejected:
            raise EmptyFile("nothing was imported: there is no row at all in what was named")
        raise UnreadableFile(f"nothing was imported: all {rejected:,} rows were rejected")
