"""Tuning: chooses a baseline's settings one after the other on the validation window of a split.

Arrives: an `EvaluationSplit`, and a function that builds a scorer from settings. Leaves: the settings with the best
ranking, in a `FittedBaseline`. Next: `training.benchmark.run` measures the baseline on the test window, which tuning
never reads.

Rejected: all combinations of settings, because they cost more, and more evaluations on one window overfit it more.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor

from graphstore.progress import Progress
from training.data.event_log import AsOf, Histories
from training.data.splits import EvaluationSplit
from training.evaluation.ranking import METRIC, Scorer, evaluate
from training.options import TrainingOptions

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = dict[str, float | str]

S = TypeVar("S", bound="DataclassInstance")
M = TypeVar("M", bound=Scorer)
M_co = TypeVar("M_co", bound=Scorer, covariant=True)


@dataclass(frozen=True)
class FittedBaseline:
    """A baseline fitted on all events that the split lets it know; a `training.evaluation.ranking.Scorer`."""

    scorer: Scorer
    num_parameters: int
    """Numbers learned from data: factors, weights, counts."""
    settings: Settings
    """The settings chosen on the validation window."""

    @torch.no_grad()
    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return scores [B, num_items]. Items of the history are not masked."""
        return self.scorer(histories, as_of=as_of)


class BaselineFit(Protocol):
    """Tunes a baseline on the validation window of a split, then fits it on all known events."""

    def __call__(self, split: EvaluationSplit, options: TrainingOptions) -> FittedBaseline: ...


class SizedScorer(Scorer, Protocol):
    """A scorer that knows its number of parameters."""

    @property
    def num_parameters(self) -> int:
        """Numbers learned from data: factors, weights, counts."""
        ...


class BaselineTrainer(Protocol[M_co]):
    """A model that is trained step by step."""

    def step(self) -> None: ...

    def scorer(self) -> M_co:
        """Return a scorer from the current weights. Later steps do not change it."""
        ...


class Tuning:
    """The search on the validation window, with its progress."""

    def __init__(self, split: EvaluationSplit, name: str, progress: Progress) -> None:
        self.window = split.validation
        self.timed = split.timed
        self._name = name
        self._progress = progress

    def report(self, stage: str, share: float) -> None:
        """Report the progress; `share` is the finished part of the whole baseline."""
        self._progress(f"{self._name}: {stage}", share)

    @torch.no_grad()
    def ndcg(self, scorer: Scorer) -> float:
        """Return NDCG@20 on the validation window, the target of tuning."""
        return evaluate(scorer, self.window, cutoffs=(20,)).metrics()[METRIC]

    def greedy(
        self,
        start: S,
        build: Callable[[S], M],
        grid: Mapping[str, Sequence[Any]],
        *,
        built: M | None = None,
        shares: tuple[float, float] = (0.0, 0.5),
    ) -> tuple[S, M]:
        """Choose the best value field by field, in the order of `grid`. The first of equal values wins.

        Args:
            start: The settings to begin with.
            build: Builds a scorer from settings.
            grid: The values to try, by field.
            built: The scorer of `start`, when it exists already.
            shares: The progress at the begin and at the end of this search.

        Returns the settings and the scorer built from them.
        """
        chosen, model = start, build(start) if built is None else built
        best = self.ndcg(model)
        done, total = 0, sum(len(values) for values in grid.values())
        for field, values in grid.items():
            for candidate in [replace(chosen, **{field: value}) for value in values]:
                self.report(field.replace("_", " "), shares[0] + (shares[1] - shares[0]) * done / total)
                done += 1
                if candidate == chosen:
                    continue
                challenger = build(candidate)
                if (ndcg := self.ndcg(challenger)) > best:
                    chosen, model, best = candidate, challenger, ndcg
        return chosen, model

    def stop_early(
        self,
        trainer: BaselineTrainer[M],
        *,
        at_most: int,
        every: int,
        patience: int,
        shares: tuple[float, float],
        variants: Callable[[M], Sequence[M]] = lambda scorer: (scorer,),
    ) -> tuple[int, M, float]:
        """Train until `patience` evaluations in a row find nothing better. There is one evaluation every `every` steps.

        Returns the best number of steps, the scorer after it (the best of its `variants`) and its NDCG@20.
        """
        best: tuple[int, M, float] | None = None
        for steps in range(1, at_most + 1):
            trainer.step()
            if steps % every and steps != at_most:
                continue
            self.report(f"step {steps}", shares[0] + (shares[1] - shares[0]) * steps / at_most)
            measured = [(self.ndcg(scorer), scorer) for scorer in variants(trainer.scorer())]
            ndcg, scorer = max(measured, key=lambda pair: pair[0])
            if best is None or ndcg > best[2]:
                best = (steps, scorer, ndcg)
            elif steps >= best[0] + patience * every:
                break
        if best is None:
            raise ValueError(f"no step of {at_most}")
        return best


def train_steps(trainer: BaselineTrainer[M], steps: int) -> M:
    """Run `steps` steps and return the scorer."""
    for _ in range(steps):
        trainer.step()
    return trainer.scorer()


def settings_of(settings: "DataclassInstance") -> Settings:
    """Return the fields by name, as the report shows them."""
    return {name: value if isinstance(value, str) else float(value) for name, value in asdict(settings).items()}
