"""Tuning: selects settings on the validation window, and writes them to a file for `train`."""

from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from graphstore.config import GraphstoreConfig
from graphstore.errors import file_errors
from sagestream.datasets import TableWords
from sagestream.extras import require
from sagestream.interruption import EXIT_CODE, Interruption
from sagestream.printable import BadParameter, PlainConsole, echo, echo_json
from sagestream.stages import Stages
from sagestream.tables import print_table
from sagestream.verbs.data import take_snapshot
from sagestream.verbs.ray_options import Address, NumWorkers, check_ray_options, opened_ray, tell_workers
from sagestream.verbs.sources import SHOWN_REJECTED, Items, Paths, chosen, end, run_import
from sagestream.verbs.table_options import with_table_options

if TYPE_CHECKING:
    from training.search.drawn_trial import RunTasks
    from training.search.tune import Tuned

STUDY = Path("tuning") / "study.db"
"""The path in the state directory."""
CONFIG = Path("tuning") / "tuned.json"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(with_table_options(tune))


def tune(
    source: Annotated[
        str | None,
        typer.Argument(help="Import this into the graph first, as `preprocess` does.", show_default=False),
    ] = None,
    paths: Paths = None,
    items: Items = None,
    *,
    words: TableWords,
    trials: Annotated[int, typer.Option(min=0, max=10_000, help="Trials that this call adds; 0: tell again.")] = 30,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds after which no new trial begins; 0: none.")] = 0.0,
    snapshot: Annotated[str | None, typer.Option(help="Name or directory of a snapshot; default: the newest.")] = None,
    study: Annotated[
        Path | None, typer.Option(help="SQLite file of the study; default: in the state directory.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the configuration is written; default: in the state directory.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the draws and of the training.")] = 0,
    batch: Annotated[
        int, typer.Option(min=1, max=1024, help="Trials that are drawn at once, so that a Ray can run them at once.")
    ] = 1,
    engine: Annotated[
        Literal["process", "ray"],
        typer.Option(help="What runs the trials: this process, or the workers of a Ray, on one machine or several."),
    ] = "process",
    address: Address = None,
    workers: NumWorkers = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Search better settings of GraphSAGE and the blend; a second call goes on. Writes what `train --config` takes.

    With a SOURCE, that is imported into the graph, without Redis, and a snapshot is taken, which the search is on.
    The search begins with the training file that SAGESTREAM_TRAINING_CONFIG names, if it names one.

    The same seed and batch come to the same study in one process and on a Ray, with any number of workers. As an
    example,

    sagestream tune --trials 32 --batch 4 --engine ray --workers 4
    """
    require("optuna")
    check_ray_options(engine, address, workers)
    import math

    import torch

    from graphstore.snapshots.files import load_snapshot
    from sagestream.registered import snapshot_directory
    from training.cluster.ray_tasks import Workers
    from training.cluster.shared_files import SharedFiles
    from training.config import TrainingConfig
    from training.config_file import current_config, load_changes, merge_changes, save_config
    from training.search.drawn_trial import TuningInterrupted, trials_here
    from training.search.objective import Objective
    from training.search.ray_trials import RayTrials, TuningJob
    from training.search.tune import Amount, evaluate_on_test, open_study, outcome, run_trials

    graph = GraphstoreConfig()
    study_file, config_file = study or graph.state_dir / STUDY, out or graph.state_dir / CONFIG
    for file, hint in ((study_file, "--study"), (config_file, "--out")):
        if file.is_dir():
            raise BadParameter(f"{file} is a directory", param_hint=hint)
        with file_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
    config = current_config(TrainingConfig())
    if source is None and (items or words):
        raise BadParameter("options of an import need a SOURCE")
    if source is not None and snapshot is not None:
        raise BadParameter("a SOURCE gives a new snapshot: name only one of both", param_hint="--snapshot")
    # The written file also holds the changes that the trials began with.
    began_with = {} if config.training_config is None else load_changes(config.training_config)
    torch.set_num_threads(config.training_threads)
    stages = Stages(PlainConsole(stderr=True))
    if source is not None:
        given = chosen(source, paths, items=items, words=words)
        imported = run_import(given, stages, way="direct", redis_too=False, shown=SHOWN_REJECTED, rejected=None)
        end(imported)
        understood = imported.told["understood"]
        found = take_snapshot(graph, config, as_of=None)
    else:
        found, understood = load_snapshot(snapshot_directory(graph, snapshot)), None
    with stages.stage("closed_form", "Terms of closed form"):
        objective = Objective.of(found, config=config, seed=seed)
    with Interruption() as interruption, open_study(study_file, objective) as opened:
        made_by = Workers()

        def stopped() -> bool:
            return interruption.asked

        before = len(opened.trials)
        stages.say(f"{study_file}: {f'goes on after {before} trials' if before else 'a new study'}")
        try:
            with ExitStack() as stack, stages.stage("trials", f"{trials} trials") as report:

                def show(line: str, share: float) -> None:
                    report(line, share)
                    if not stages.console.is_terminal and " step " not in line:  # on a terminal the bar shows it
                        stages.say(line)

                run: RunTasks = partial(trials_here, objective, stopped=stopped)
                if engine == "ray":
                    at_once = stack.enter_context(opened_ray(address, workers, report))
                    if batch < at_once:
                        stages.say(f"--batch {batch}: at most so many of {at_once} workers have a trial at once")
                    job = TuningJob(SharedFiles.of(found.path), config=config, seed=seed)
                    run = RayTrials(job, at_once, made_by, stopped).run
                amount = Amount(trials, batch, timeout or math.inf)
                run_trials(opened, objective, amount, run=run, progress=show)
            tuned = outcome(opened, objective)
            with stages.stage("test", "The test window, once") as report:

                def judge(line: str, share: float) -> None:
                    if interruption.asked:
                        raise TuningInterrupted
                    report(line, share)

                on_test = evaluate_on_test(opened, objective, found, tuned, progress=judge)
        except TuningInterrupted:
            stages.say("interrupted: the study keeps every trial that has ended; the same call goes on")
            raise typer.Exit(EXIT_CODE) from None
    with file_errors(config_file):
        save_config(config_file, merge_changes(began_with, tuned.changes))
    told = ({} if understood is None else {"understood": understood}) | {
        "snapshot_id": found.snapshot_id,
        "study": str(study_file),
        **asdict(tuned),
        "test": on_test,
        "config": str(config_file),
        "seconds": round(stages.elapsed, 1),
    }
    if engine == "ray":
        told |= tell_workers(made_by, stages)
    if as_json:
        echo_json(told, allow_nan=False)
        return
    console = PlainConsole()
    _show(console, tuned, on_test)
    echo(f"{config_file}: {'sagestream train --config takes it' if tuned.changes else 'no change'}")


def _show(console: PlainConsole, tuned: "Tuned", on_test: dict[str, float]) -> None:
    table = Table(
        "ndcg@20", "default", "best", "difference", title=f"{tuned.finished} finished, {tuned.pruned} ended early"
    )
    rows: list[tuple[str, dict[str, Any]]] = [("validation, out of fold", tuned.validation), ("test, once", on_test)]
    for name, part in rows:
        difference = f"{part['best'] - part['default']:+.4f}"
        if "low" in part:
            difference += f" (95 % {part['low']:+.4f} to {part['high']:+.4f}, {part['users']:.0f} shoppers)"
        table.add_row(name, f"{part['default']:.4f}", f"{part['best']:.4f}", difference)
    print_table(console, table)
    if tuned.changes and on_test["low"] <= 0:
        console.print("the test window cannot tell the best from the default")
    if tuned.importances:
        shares = Table(
            "setting", "share of the variance", title=f"What mattered, over {tuned.finished} finished trials"
        )
        for name, share in tuned.importances.items():
            shares.add_row(name.replace("_", " "), f"{share:.0%}")
        print_table(console, shares)
    else:
        console.print("too few finished trials, or too equal ones, to say what mattered")
    blend = {name: value for name, value in tuned.changes.items() if name != "sage"}
    for name, value in (tuned.changes.get("sage", {}) | blend).items():
        console.print(f"  {name} = {value}")
