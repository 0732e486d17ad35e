"""Incremental: what updates cost and how well they rank: `python benchmarks/incremental.py --data FOLDER --json OUT`.

Arrives: published data sets. Leaves: one JSON object, the same as a table on standard output, and progress on standard
error. It needs no service.

The replay tests, then trains. The first model is fitted on the first 70 % of the events by time. Then each slice first
measures all models on its events, which none of them knows. After that, each model learns the slice in its own way:

- `none`: the lists of the first model stay as they are. New users get the list of users without events.
- `inductive`: the first model stays, but it sees the newest histories and trend, as near-line serving does.
- `incremental`: an incremental run after each slice, on the model of the run before. All its updates are promoted.
- `full`: a full run from scratch at each slice, or at every `--full-every` slices to save time.
- `recent`: recent popularity, with the half-life that is best before the first slice.

All runs are those of `training.lifecycle.trial`. Their CPU time includes the evaluation for the gate, the learning of
the test window and the bundle; it excludes SQL. Means are over the slices with a new full model; `curves` has all
slices. A stopped benchmark starts again at the data set where it was stopped, and finds the bundles of `--work`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: put the repository root on the path instead of this directory
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import torch

from benchmarks.curves import METRICS, MODELS, Curves, as_markdown
from benchmarks.program import log_line
from benchmarks.replay import READERS, Replay, read_set
from training.baselines.gate import tune_popularity
from training.config import TrainingConfig
from training.data.dataset import Dataset, TooFewEvents, full_split
from training.data.event_log import GrownLog
from training.data.windows import Window
from training.evaluation.ranking import Scorer, evaluate
from training.lifecycle.trial import TrialResult, as_served, full_trial, incremental_trial
from training.models.bundle import CHECKSUMS, load_bundle, save_bundle
from training.options import TrainingOptions
from training.terms.trend import Trend

FIRST = "first"

SETTINGS = ("slices", "first_share", "kind", "full_every", "users", "max_users", "seed", "threads")
"""The arguments that decide the figures of a data set."""


class Contest:
    """All models on one data set. `curves` has their figures so far."""

    def __init__(self, replay: Replay, work: Path, curves: Curves, arguments: argparse.Namespace) -> None:
        self.replay = replay
        self.work = work
        self.curves = curves
        self.arguments = arguments
        self.config = TrainingConfig()
        self.options = TrainingOptions(seed=arguments.seed)
        self.asked: Sequence[str] = arguments.models
        self.begin = int(replay.bounds[0])
        first, _ = self._bundle(FIRST, lambda: self._full(self.begin))
        self.bundles = dict.fromkeys(("incremental", "full"), first)
        self.first = first
        self.repeats = load_bundle(first).repeats
        known = Dataset.from_snapshot(replay.snapshot(self.begin)).log
        split = full_split(known, champion_as_of=None, min_users=1)
        self.popularity = tune_popularity(
            Trend.fit(known.between(end=split.validation)),
            split.validation_window(known, repeats=self.repeats).sample(self.config.tuning_users, seed=arguments.seed),
        )
        self.popularity.update(GrownLog.since(replay.log, split.validation, self.begin))

    def run_slice(self, index: int) -> None:
        """Measure slice `index` (0: the first), then learn it."""
        start, end = (int(time) for time in self.replay.bounds[index : index + 2])
        due = "full" in self.asked and (index + 1) % self.arguments.full_every == 0
        if due and index:
            self.bundles["full"], seconds = self._bundle(f"full-{index}", lambda: self._full(start))
            self.curves.spend("full", index, seconds)
        self._measure(index, start, end, full=due)
        self.popularity.update(GrownLog.since(self.replay.log, start, end))
        if "incremental" not in self.asked or end == self.replay.bounds[-1]:
            return
        try:
            self.bundles["incremental"], seconds = self._bundle(
                f"incremental-{index + 1}", lambda: self._incremental(end), keep=False
            )
            self.curves.spend("incremental", index + 1, seconds)
        except TooFewEvents as error:  # the next run learns the slice
            log_line(f"slice {index + 1}: {error}")

    def _measure(self, index: int, start: int, end: int, *, full: bool) -> None:
        window = Window.cut(
            self.replay.log,
            start=start,
            end=end,
            repeats=self.repeats,
            max_users=self.arguments.users,
            seed=self.arguments.seed,
        )
        dataset = Dataset(
            self.replay.log, self.replay.item_ids, self.replay.item_keys, self.replay.catalogue
        )  # its items after `start` have no row in any model

        def served(bundle: Path) -> Scorer:
            return as_served(load_bundle(bundle), dataset, start)

        scorers: dict[str, tuple[Callable[[], Scorer], Window]] = {
            "none": (lambda: load_bundle(self.first).aligned_scorer(self.replay.item_keys), self._as_of_begin(window)),
            "inductive": (lambda: served(self.first), window),
            "incremental": (lambda: served(self.bundles["incremental"]), window),
            "full": (lambda: served(self.bundles["full"]), window),
            "recent": (lambda: self.popularity, window),
        }
        for name, (make, seen) in scorers.items():
            if name in self.asked and (full or name != "full"):
                metrics = evaluate(make(), seen, cutoffs=(20,)).metrics()
                self.curves.add(name, index, {metric: metrics[metric] for metric in METRICS})

    def _as_of_begin(self, window: Window) -> Window:
        """Return the window with the histories that the first model had."""
        return replace(
            window, as_of=self.begin, histories=self.replay.log.between(end=self.begin).histories(window.users)
        )

    def _full(self, as_of: int) -> TrialResult:
        return full_trial(
            self.replay.snapshot(as_of),
            kind=self.arguments.kind,
            champion=None,
            config=self.config,
            options=self.options,
        )

    def _incremental(self, as_of: int) -> TrialResult:
        return incremental_trial(
            self.replay.snapshot(as_of),
            champion_bundle=self.bundles["incremental"],
            config=self.config,
            options=self.options,
        )

    def _bundle(self, name: str, run: Callable[[], TrialResult], *, keep: bool = True) -> tuple[Path, float | None]:
        """Run a trial and publish its model under this name. Return the bundle and the CPU seconds.

        With `keep`, a bundle of an earlier benchmark is returned instead, without seconds.
        """
        path = self.work / name
        if keep and (path / CHECKSUMS).exists():
            return path, None
        version = name if keep else f"{name}-{time.time_ns()}"
        begun = time.process_time()
        trial = run()
        trial.learn_test_window()
        bundle = save_bundle(
            trial.recommender(version, kind=self.arguments.kind, fresh=True),
            self.work,
            snapshot_id=f"s{trial.dataset.as_of}",
            parent=None,
            metrics=trial.evaluation.metrics(),
            config={},
        )
        seconds = time.process_time() - begun
        log_line(f"{name}: {seconds:.1f} CPU s")
        return bundle, seconds


def run_set(name: str, arguments: argparse.Namespace, curves: Curves, save: Callable[[], None]) -> None:
    """Replay one data set. `save` is called after each slice."""
    data = read_set(name, arguments.data, max_users=arguments.max_users, seed=arguments.seed)
    replay = Replay.of(data, first_share=arguments.first_share, slices=arguments.slices)
    number = len(replay.bounds) - 1
    log_line(f"{name}: {len(replay.log):,} events, {replay.log.num_users:,} users, {replay.log.num_items:,} items")
    contest = Contest(replay, arguments.work / name, curves, arguments)
    for index in range(number):
        contest.run_slice(index)
        save()
        log_line(f"{name}: slice {index + 1} of {number}: {curves.line(index)}")


def parse_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the arguments, `sys.argv` without `given`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, metavar="OUT", help="the result; figures in it stay")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="the folder of the data sets that are files")
    parser.add_argument("--sets", nargs="+", choices=list(READERS), default=list(READERS), help="data sets")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="models to measure (again)")
    parser.add_argument("--slices", type=int, default=20, help="slices of the later events")
    parser.add_argument("--first-share", type=float, default=0.7, help="share of the events for the first model")
    parser.add_argument("--kind", choices=("graphsage", "closed_form"), default="graphsage", help="of the full runs")
    parser.add_argument("--full-every", type=int, default=1, help="slices between two full runs")
    parser.add_argument("--users", type=int, default=2_000, help="most users of a measurement")
    parser.add_argument("--max-users", type=int, help="most users of a data set, chosen at random")
    parser.add_argument("--seed", type=int, default=0, help="of samples and fits")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="also draw the curves (extra plots)")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="of the bundles; default: beside OUT")
    found = parser.parse_args(given)
    if not 0 < found.first_share < 1 or min(found.slices, found.full_every, found.users, found.threads) < 1:
        parser.error("numbers are at least 1, the first share is between 0 and 1")
    if found.work is None:
        found.work = found.json.with_suffix(".work")
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Replay the data sets one after the other. Return 0, or 1 after a stop; the figures so far are written."""
    arguments = parse_arguments(given)
    torch.set_num_threads(arguments.threads)
    report: dict[str, Any] = {"sets": {}}
    if arguments.json.exists():
        report = json.loads(arguments.json.read_text())
    settings = {name: getattr(arguments, name) for name in SETTINGS}
    stopped = 0
    for name in arguments.sets:
        refuse_other_settings(report["sets"].get(name, {}).get("settings", settings), settings)
        curves = Curves.from_json(report["sets"].get(name), again=arguments.models)

        def save(name: str = name, curves: Curves = curves) -> None:
            report["sets"][name] = curves.as_json() | {"settings": settings}
            arguments.json.write_text(json.dumps(report, indent=1) + "\n")

        try:
            run_set(name, arguments, curves, save)
        except KeyboardInterrupt:
            log_line("stopped")
            stopped = 1
            break
    print(as_markdown(report))
    if arguments.plot is not None:
        from benchmarks.curves_plot import save_plot  # needs the extra plots

        save_plot(report, arguments.plot)
    return stopped


def refuse_other_settings(stored: dict[str, Any], settings: dict[str, Any]) -> None:
    """Exit when OUT has figures of other settings. Only the number of full runs may change."""
    changed = [name for name in SETTINGS if name != "full_every" and stored[name] != settings[name]]
    if changed:
        sys.exit(f"OUT and --work have figures with another {', '.join(changed)}: name other files")


if __name__ == "__main__":
    sys.exit(main())
