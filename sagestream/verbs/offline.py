"""Offline: compares our model with the baselines on any file, and evaluates a registered model on later events."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from graphstore.config import GraphstoreConfig
from graphstore.errors import file_errors
from sagestream.datasets import TableWords
from sagestream.extras import require
from sagestream.printable import BadParameter, PlainConsole, echo, echo_json
from sagestream.stages import Stages
from sagestream.tables import print_table
from sagestream.text_encoder import TextEncoder, with_text_encoder
from sagestream.verbs.table_options import with_table_options

if TYPE_CHECKING:
    from stream.sources.source import Reading
    from stream.sources.table import EventTable
    from training.benchmark.run import Fit
    from training.data.offline import OfflineDataset
    from training.data.splits import EvaluationSplit

Split = Literal["temporal", "leave-last-out", "given"]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(with_table_options(benchmark))
    app.command()(evaluate)


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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read everything, say what was understood, stop.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results to this file.", show_default=False)
    ] = None,
) -> None:
    """Our model and the baselines on one file: who ranks best, by how much, at what cost. Needs no service."""
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

    from stream.sources.source import Reading
    from training.benchmark.report import markdown
    from training.benchmark.run import BEGINS, run

    fits, dataset = _baselines(baselines), str(interactions or train)
    stages, reading = Stages(PlainConsole(stderr=True)), Reading()
    with stages.stage("read", "Read"):
        divided, catalogued = (
            _given(train, test, items, reading, stages)
            if train is not None and test is not None
            else _divided(
                _table(
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
    stages.say(
        f"to learn from: {len(divided.known):,} events of {divided.known.num_users:,} shoppers and "
        f"{divided.num_items:,} items; to judge on: {len(divided.test):,} shoppers"
    )
    said = {name: found.as_json() for name, found in reading.understood.items()}
    if dry_run:
        if json_file is not None:
            _write(json_file, {"dataset": Path(dataset).name, "understood": said})
        return
    ours = _ours(divided, catalogued, text_encoder)
    with stages.stage("benchmark", "Benchmark") as report:

        def show(line: str, share: float) -> None:
            report(line, share)
            if line.endswith(BEGINS) and not stages.console.is_terminal:  # on a terminal the bar shows it
                stages.say(line)

        results = run(divided, {**ours, **fits}, seeds=seeds, cutoffs=cutoffs, progress=show)
    if json_file is not None:
        _write(json_file, results.as_json(Path(dataset).name, understood=said))
    echo(markdown(results, cutoffs=cutoffs))


def _write(file: Path, told: dict[str, Any]) -> None:
    with file_errors(file):
        file.write_text(json.dumps(told, indent=1, allow_nan=False) + "\n", encoding="utf-8")


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


def _ours(split: "EvaluationSplit", catalogued: "OfflineDataset", text_encoder: str | None) -> "dict[str, Fit]":
    from training.benchmark.comparison import OURS
    from training.benchmark.run import FeatureFit
    from training.config import TrainingConfig
    from training.config_file import current_config
    from training.features.items import item_features
    from training.search.model_search import fit_best, with_patience

    config = with_text_encoder(current_config(TrainingConfig()), text_encoder)
    catalogue = catalogued.catalogue
    features = None
    if catalogue is not None:
        features = item_features(
            catalogue, split.past, text_encoder=config.text_encoder, name_encoding=config.name_encoding
        )
    return {OURS: FeatureFit(fit_best, features, with_patience(config))}


def _table(name: str, words: TableWords, reading: "Reading", stages: Stages) -> "EventTable":
    from sagestream.datasets import COMPLETE_JOURNEY, UnfitWords, read_dataset

    if name == COMPLETE_JOURNEY:
        words = replace(words, no_times=False)
    try:
        table = read_dataset(name, sample=None, min_item_users=1, seed=0, words=words, reading=reading)
    except UnfitWords as error:
        raise BadParameter(str(error), param_hint="--interactions") from error
    _tell_understood(stages, reading, Path(name))
    return table


def _divided(
    table: "EventTable",
    items: Path | None,
    reading: "Reading",
    *,
    split: Split,
    repeats: bool,
    min_item_users: int,
    max_users: int | None,
    stages: Stages,
) -> "tuple[EvaluationSplit, OfflineDataset]":
    from stream.sources.opening import read_catalogue
    from training.data import splits
    from training.data.offline import OfflineDataset

    _tell(stages, table.rejected, "rows")
    catalogue = table.items
    if items is not None:
        catalogue, rejected = read_catalogue(items, reading)
        _tell_understood(stages, reading, items)
        _tell(stages, rejected, "rows of items")
    found = OfflineDataset.from_table(table, catalogue, min_item_users=min_item_users, max_users=max_users)
    _tell(stages, found.left_out, "events")
    _tell_featureless(stages, items, found)
    divide = splits.temporal if split == "temporal" else splits.leave_last_out
    return divide(found.log, repeats=repeats), found


def _given(
    train: Path, test: Path, items: Path | None, reading: "Reading", stages: Stages
) -> "tuple[EvaluationSplit, OfflineDataset]":
    from stream.sources.opening import read_catalogue
    from training.data import splits
    from training.data.offline import OfflineDataset, catalogue_of, read_given

    logs = read_given(train, test)
    _tell(stages, logs.left_out, "lines")
    catalogue = None
    if items is not None:
        known, rejected = read_catalogue(items, reading)
        _tell_understood(stages, reading, items)
        _tell(stages, rejected, "rows of items")
        catalogue = catalogue_of(logs.item_ids, known)
    found = OfflineDataset(logs.train, logs.user_ids, logs.item_ids, catalogue)
    _tell_featureless(stages, items, found)
    return splits.given(logs.train, logs.test, timed=False), found


def _tell_understood(stages: Stages, reading: "Reading", file: Path) -> None:
    if (understood := reading.understood.get(str(file))) is not None:  # complete-journey is no file
        for line in understood.lines():
            stages.say(f"{file}: {line}")


def _tell(stages: Stages, left_out: dict[str, int], what: str) -> None:
    for reason, count in left_out.items():
        if count:
            stages.say(f"left out: {count:,} {what}, {reason}")


def _tell_featureless(stages: Stages, items: Path | None, found: "OfflineDataset") -> None:
    if found.catalogue is not None:
        return
    if items is None:  # a table of events may hold titles too, but only --items reads them
        stages.say("no features of items: --items names a file of titles, categories, brands or prices")
    else:
        said = f"{items} holds none of the items that shoppers touched: there are no features"
        stages.say((said, "yellow"))


def evaluate(
    model_version: Annotated[
        str | None, typer.Argument(help="A model of the registry; default: the champion.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a registered model on the events of the newest snapshot that came after it."""
    from graphstore.snapshots.files import load_snapshot, newest_snapshot
    from sagestream.registered import registered_bundle
    from training.config import TrainingConfig
    from training.config_file import current_config
    from training.inspection.later_evaluation import later_evaluation
    from training.models.bundle import load_bundle

    graph = GraphstoreConfig()
    model = load_bundle(registered_bundle(graph, model_version))
    snapshot = load_snapshot(newest_snapshot(graph.snapshots_dir))
    told = later_evaluation(model, snapshot, max_users=current_config(TrainingConfig()).evaluation_users)
    if as_json:
        echo_json(told, allow_nan=False)
        return
    print_table(PlainConsole(), _hindsight_table(told))


def _hindsight_table(told: dict[str, Any]) -> Table:
    slices = {name: part for name, part in told.items() if isinstance(part, dict) and part["users"]}
    title = f"{told['model_version']} on what came after it, in snapshot {told['snapshot_id']}"
    table = Table("measure", f"all ({told['users']} users)", title=title)
    for name, part in slices.items():
        table.add_column(f"{name.replace('_', ' ')} ({part['users']} users)")
    for name, value in told.items():
        if "@" in name:
            parts = (part.get(name) for part in slices.values())
            table.add_row(name, f"{value:.4f}", *("" if part is None else f"{part:.4f}" for part in parts))
    return table
