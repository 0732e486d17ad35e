"""Run: fits our model and the baselines on the split of each seed, each fit in its own process.

Arrives: `SplitDraws`, and for each model a function that tunes and fits it. Leaves: `Results` of
`training.benchmark.comparison`, also unfinished ones after each fit. Next: the command line writes them as JSON and as
a table.

A fit returns only lists for the test window. The measures are computed here in the same way for all models. All models
with one seed have the same split.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from graphstore.errors import UserError
from graphstore.progress import Progress
from training.benchmark.comparison import Evaluator, Measured, ModelResult, Results, compare, model_result
from training.benchmark.fitted_lists import Fit, FittedLists, PartLists, fit_lists
from training.benchmark.isolated import Cost, run_isolated
from training.benchmark.unfinished import UnfinishedRun
from training.data.dataset import TooFewEvents
from training.data.split_draws import KEPT_SPLITS, SplitDraws
from training.options import ignore_progress
from training.process import FaultInProcess, SpawnedProcessFailed

DETERMINISTIC = frozenset({"popular", "recent", "itemknn", "ease", "personal-frequency", "tifu-knn", "up-cf"})
"""Baselines without chance in them. On one split for all seeds they are fitted once."""

CUTOFF = 20

BEGINS = "tuning and fit"
"""The first progress line of each fit ends with this text."""


class ModelFailed(UserError):
    """A model could not be fitted or scored. The message names it."""


class Job(NamedTuple):
    """One fit of the benchmark."""

    model: str
    seed: int

    def __str__(self) -> str:
        return f"{self.model}, seed {self.seed}"


@dataclass(frozen=True)
class FinishedFit:
    """A fit that is done, and what the benchmark knows now."""

    job: Job
    cost: Cost
    kept: bool
    """Whether an interrupted run had made it."""
    share: float
    """The share of all fits that are done."""
    results: Results
    rows: dict[str, ModelResult]
    """The rows of the model and of its parts, once all of its seeds are done. Empty before."""


Launch = Callable[..., tuple[Any, Cost]]


def ignore_fit(_finished: FinishedFit) -> None:
    """Ignore a finished fit."""


@dataclass(frozen=True)
class Listener:
    """Who is told of a running benchmark."""

    progress: Progress = ignore_progress
    """Called with a line of text and the share of all fits."""
    on_fit: Callable[[FinishedFit], None] = ignore_fit
    """Called after each fit. What it is told is not complete before the last one."""


def jobs_of(draws: SplitDraws, models: Sequence[str], *, seeds: int) -> list[Job]:
    """Return all fits, model by model. A model without chance has one fit if all seeds have one split."""
    return [
        Job(name, seed) for name in models for seed in range(1 if name in DETERMINISTIC and not draws.varies else seeds)
    ]


def all_cutoffs(cutoffs: Sequence[int]) -> tuple[int, ...]:
    """Return the cutoffs that are measured. `CUTOFF`, which selects and compares, is always one of them."""
    return tuple(sorted({*cutoffs, CUTOFF}))


def run(
    draws: SplitDraws,
    fits: Mapping[str, Fit],
    *,
    seeds: int,
    cutoffs: Sequence[int],
    listener: Listener | None = None,
    unfinished: UnfinishedRun | None = None,
    launch: Launch = run_isolated,
) -> Results:
    """Fit every model (ours is `OURS`) with seeds 0 … seeds − 1, measure the lists on the test window, and compare.

    The measures always include NDCG@20 and recall@20.

    Args:
        draws: The split of each seed.
        fits: By name of the model.
        seeds: The number of seeds.
        cutoffs: Lengths of the lists that are measured.
        listener: Is told of the progress and of each fit. None: nobody is.
        unfinished: Keeps each fit; a fit that it has is not made again. None: an interrupted run begins anew.
        launch: Runs one fit.

    Raises `TooFewEvents` when a window has no users. Raises `ModelFailed` when one model fails, `FaultInProcess` when a
    fault of ours stops it: a benchmark without one of its baselines could favour our model.
    """
    if not fits or seeds < 1:
        raise ValueError(f"{len(fits)} models and {seeds} seeds")
    first = draws.split(0)
    if not len(first.validation) or not len(first.test):
        raise TooFewEvents(f"{len(first.validation)} users to choose settings on and {len(first.test)} to judge on")
    listener = listener or Listener()
    cutoffs = all_cutoffs(cutoffs)
    jobs = jobs_of(draws, list(fits), seeds=seeds)
    scores = {name: _Scores(name) for name in fits}

    @lru_cache(maxsize=KEPT_SPLITS)
    def evaluator(draw: int) -> Evaluator:
        return Evaluator.of(draws.split(draw), cutoffs)

    rows: dict[str, ModelResult] = {}
    for done, job in enumerate(jobs):

        def report(line: str, share: float, job: Job = job, done: int = done) -> None:
            listener.progress(f"{job}: {line.removeprefix(f'{job.model}: ')}", (done + share) / len(jobs))

        split = draws.split(job.seed)
        found = None if unfinished is None else unfinished.load(*job, split.test, k=max(cutoffs))
        kept = found is not None
        if found is None:
            report(BEGINS, 0.0)
            try:
                found = launch(fit_lists, fits[job.model], split, job.seed, max(cutoffs), progress=report)
            except SpawnedProcessFailed as error:
                raise ModelFailed(f"{job}: {error}") from error
            except FaultInProcess as error:
                error.add_note(str(job))
                raise
            if unfinished is not None:
                unfinished.store(*job, *found)
        lists, cost = found
        scores[job.model].add(lists, cost, evaluator(job.seed if draws.varies else 0))
        missing = jobs[done + 1 :]
        rows |= (of_model := scores[job.model].rows())
        results = compare(rows, split=split.name, seeds=seeds, cutoffs=cutoffs, ties=draws.ties, missing=missing)
        complete = not any(job.model == one.model for one in missing)
        share = (done + 1) / len(jobs)
        listener.on_fit(FinishedFit(job, cost, kept, share, results, of_model if complete else {}))
    return results


class _Scores:
    """The measures of one model and of its parts, seed after seed. Lists are measured once and not kept."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._measured: dict[str, list[Measured]] = {}
        self._settings: dict[str, list[Any]] = {}
        self._num_parameters: dict[str, int | None] = {}
        self._costs: list[Cost] = []

    def add(self, found: FittedLists, cost: Cost, evaluator: Evaluator) -> None:
        """Measure the lists of one seed."""
        self._costs.append(cost)
        shown: dict[str, FittedLists | PartLists] = {self._name: found}
        for name, one in (shown | {f"{self._name}-{part}": lists for part, lists in found.parts.items()}).items():
            self._measured.setdefault(name, []).append(evaluator.measure(one.lists))
            self._settings.setdefault(name, []).append(one.settings)
            self._num_parameters.setdefault(name, one.num_parameters)

    def rows(self) -> dict[str, ModelResult]:
        """Return the means over the seeds so far. A part is not fitted alone and has no cost."""
        return {
            name: model_result(
                measured,
                num_parameters=self._num_parameters[name],
                settings=self._settings[name],
                costs=self._costs if name == self._name else [],
            )
            for name, measured in self._measured.items()
        }
