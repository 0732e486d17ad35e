"""Benchmark: compares our model with the baselines on any file, row by row, and goes on after an interruption."""

import json
import math
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graphstore.errors import file_errors
from graphstore.files import written_whole
from sagestream.datasets import TableWords
from sagestream.extras import require
from sagestream.interruption import EXIT_CODE
from sagestream.printable import BadParameter, PlainConsole, echo
from sagestream.progress_lines import ProgressLines
from sagestream.stages import Stages
from sagestream.text_encoder import TextEncoder, with_text_encoder
from sagestream.verbs.benchmark_input import Split, divided_table, given_files, read_table
from sagestream.verbs.table_options import with_table_options

if TYPE_CHECKING:
    from training.benchmark.fitted_lists import Fit
    from training.benchmark.run import FinishedFit
    from training.benchmark.unfinished import UnfinishedRun
    from training.data.offline import OfflineDataset
    from training.data.split_draws import SplitDraws


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(with_table_options(benchmark))


def benchmark(
    interactions: Annotated[
        str | None,
        typer.Option(help="CSV, TSV, JSON lines or Parquet, also gzipped; or complete-journey.", show_default=False),
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="A file of items: title, categories, brand, price.", show_default=False)
    ] = None,
    split: Annotated[Split, typer.Option(help="What is held out; given: two files, --train and --test.")] = "temporal",
    train: Annotated[
        Path | None, typer.Option(help="Given split: lines of `user item item …`.", show_default=False)
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Given split: what is to be found, as --train.", show_default=False)
    ] = None,
    k: Annotated[str, typer.Option(help="Lengths of the lists that are measured.")] = "10,20",
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Seeds that each model with chance in it gets.")] = 3,
    repeats: Annotated[
        Literal["allow", "exclude"], typer.Option(help="Whether items that a shopper knows are recommended again.")
    ] = "exclude",
    baselines: Annotated[
        str | None, typer.Option(help="Names, parted by commas; without it all.", show_default=False)
    ] = None,
    *,
    words: TableWords,
    text_encoder: TextEncoder = None,
    min_item_users: Annotated[int, typer.Option(min=1, help="Items that fewer shoppers touched are left out.")] = 1,
    max_users: Annotated[int, typer.Option(min=0, help="Shoppers drawn at random; 0: all.")] = 0,
    budget: Annotated[
        float, typer.Option(min=0, help="CPU minutes for each fit of our model; 0: the full search.")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read everything, say what was understood, stop.")] = False,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write the results to this file, anew after each fit.", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run that had the same --json.")
    ] = False,
) -> None:
    """Our model and the baselines on one file: who ranks best, by how much, at what cost. Needs no service.

    With --json, each fit is kept in FILE.unfinished until all are done: --resume goes on after Ctrl-C or a kill.
    """
    cutoffs = _cutoffs(k)
    if split == "given":
        if train is None or test is None:
            raise BadParameter("the given split needs --train and --test", param_hint="--split")
        if interactions is not None or words:
            raise BadParameter("a given split reads --train and --test, no table", param_hint="--split")
        if repeats == "allow":
            raise BadParameter("a given split never recommends what is in --train", param_hint="--repeats")
    elif interactions is None:
        raise BadParameter("name a file, or complete-journey", param_hint="--interactions")
    elif train is not None or test is not None:
        raise BadParameter("only --split given reads two files", param_hint="--train")
    if json_file is not None and not json_file.resolve().parent.is_dir():
        raise BadParameter(f"no directory {json_file.parent}", param_hint="--json")
    if resume and json_file is None:
        raise BadParameter("--resume needs --json: finished fits are kept beside that file", param_hint="--resume")

    from stream.sources.source import Reading
    from training.benchmark.report import markdown, row
    from training.benchmark.run import BEGINS, Listener, run
    from training.benchmark.unfinished import UnfinishedRun, fingerprint

    fits, dataset = _baselines(baselines), str(interactions or train)
    stages, reading = Stages(PlainConsole(stderr=True)), Reading()
    with stages.stage("read", "Read"):
        draws, catalogued = (
            given_files(train, test, items, reading, stages)
            if train is not None and test is not None
            else divided_table(
                read_table(
                    str(interactions),
                    replace(words, no_times=words.no_times or split == "leave-last-out"),
                    reading,
                    stages,
                ),
                items,
                reading,
                split=split,
                repeats=repeats == "allow",
                min_item_users=min_item_users,
                max_users=max_users or None,
                stages=stages,
            )
        )
    first = draws.split(0)
    stages.say(
        f"to learn from: {len(first.known):,} events of {first.known.num_users:,} shoppers and "
        f"{first.num_items:,} items; to judge on: {len(first.test):,} shoppers"
    )
    said = {name: found.as_json() for name, found in reading.understood.items()}
    if dry_run:
        if json_file is not None:
            _write(json_file, {"dataset": Path(dataset).name, "understood": said})
        return
    fits = {**_ours(draws, seeds, catalogued, text_encoder, budget), **fits}
    unfinished = None
    if json_file is not None:
        made_of = fingerprint(first, fits, seeds=seeds, cutoffs=cutoffs, version=version("sagestream"))
        unfinished = UnfinishedRun(json_file, made_of, resume=resume)
        _say_kept(stages, unfinished, resume=resume)
    lines = ProgressLines(stages.say, whole="all fits", now=time.monotonic)
    try:
        with stages.stage("benchmark", "Benchmark") as report:

            def show(line: str, share: float) -> None:
                report(line, share)
                if not stages.console.is_terminal:  # on a terminal the bar shows it
                    (lines.always if line.endswith(BEGINS) else lines)(line, share)

            def tell(finished: "FinishedFit") -> None:
                if json_file is not None:
                    _write(json_file, finished.results.as_json(Path(dataset).name, understood=said))
                how = "kept" if finished.kept else "done"
                cost = f"{finished.cost.cpu_seconds:.1f} CPU s · {finished.cost.peak_rss_mb:.0f} MB"
                lines.always(f"{finished.job}: {how} · {cost}", finished.share)
                for name, result in finished.rows.items():
                    stages.say((row(name, result, cutoffs=cutoffs), "bold"))

            results = run(
                draws, fits, seeds=seeds, cutoffs=cutoffs, listener=Listener(show, tell), unfinished=unfinished
            )
    except KeyboardInterrupt:
        _say_interrupted(stages, unfinished)
        raise typer.Exit(EXIT_CODE) from None
    if unfinished is not None:
        unfinished.remove()
    echo(markdown(results, cutoffs=cutoffs))


def _write(file: Path, told: dict[str, Any]) -> None:
    with file_errors(file), written_whole(file) as path:
        path.write_text(json.dumps(told, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _say_kept(stages: Stages, unfinished: "UnfinishedRun", *, resume: bool) -> None:
    kept = unfinished.kept()
    if resume and kept:
        stages.say(f"goes on after {_fits(kept)}")
    elif resume:
        stages.say(f"nothing to go on with: no fit is kept in {unfinished.directory}")
    elif kept:
        said = f"an unfinished run keeps {_fits(kept)}, which the first fit of this run removes: --resume goes on"
        stages.say((said, "yellow"))


def _say_interrupted(stages: Stages, unfinished: "UnfinishedRun | None") -> None:
    if unfinished is None:
        stages.say("interrupted: nothing is kept; with --json, finished fits are, and --resume goes on")
    elif kept := unfinished.kept():
        stages.say(f"interrupted: kept {_fits(kept)}; the same command with --resume goes on")
    else:
        stages.say("interrupted before the first fit was done: nothing is kept")


def _fits(count: int) -> str:
    return f"{count} finished fit{'s' if count > 1 else ''}"


def _cutoffs(k: str) -> list[int]:
    try:
        cutoffs = sorted({int(part) for part in k.split(",")})
    except ValueError:
        cutoffs = []
    if not cutoffs or cutoffs[0] < 1 or cutoffs[-1] > 1000:
        raise BadParameter(f"{k!r} is not a list of lengths from 1 to 1000, as 10,20", param_hint="--k")
    return cutoffs


def _baselines(names: str | None) -> "dict[str, Fit]":
    from training.baselines.contenders import BASELINES, LIBRARIES

    asked = list(BASELINES) if names is None else [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in asked if name not in BASELINES]:
        known = ", ".join(BASELINES)
        raise BadParameter(f"no baseline {', '.join(unknown)}: there are {known}", param_hint="--baselines")
    for library in {LIBRARIES[name] for name in asked if name in LIBRARIES}:
        require(library)
    return {name: BASELINES[name] for name in asked}


def _ours(
    draws: "SplitDraws", seeds: int, catalogued: "OfflineDataset", text_encoder: str | None, budget: float
) -> "dict[str, Fit]":
    from training.benchmark.comparison import OURS
    from training.benchmark.fitted_lists import FeatureFit
    from training.config import TrainingConfig
    from training.config_file import current_config
    from training.features.items import item_features
    from training.search.model_search import fit_best, with_patience

    config = with_text_encoder(current_config(TrainingConfig()), text_encoder)
    catalogue = catalogued.catalogue
    features = None
    if catalogue is not None:
        features = item_features(
            catalogue,
            draws.common_past(seeds),
            text_encoder=config.text_encoder,
            name_encoding=config.name_encoding,
        )
    seconds = 60 * budget or math.inf
    return {OURS: FeatureFit(fit_best, features, with_patience(config), seconds)}
