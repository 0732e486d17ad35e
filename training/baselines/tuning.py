"""Tuning by one setting after the other, on the validation window of a split.

Arrives: an `EvaluationSplit`, a function that builds a scorer from settings. Leaves: the settings that rank best, as
part of a `FittedBaseline`. Next: `training.benchmark.run` measures it on the test window, which nothing here looks at.

One setting is chosen, then the next beside it, not their product: that is cheap, and a window that is looked at less
often is fitted less.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor

from graphstore.progress import Progress
from training.data.event_log import Histories, Moment
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
    """A baseline fitted on everything that the split lets it know; a `training.evaluation.ranking.Scorer`."""

    scorer: Scorer
    num_parameters: int
    """Numbers that the data decided: factors, weights, counts."""
    settings: Settings
    """What the validation chose."""

    @torch.no_grad()
    def __call__(self, histories: Histories, *, as_of: Moment) -> Tensor:
        """Scores [B, num_items]; what was seen is not taken out."""
        return self.scorer(histories, as_of=as_of)


class BaselineFit(Protocol):
    """Tunes a baseline on the validation of a split, then fits it on what the split knows."""

    def __call__(self, split: EvaluationSplit, options: TrainingOptions) -> FittedBaseline: ...


class Counted(Scorer, Protocol):
    """A scorer that says how big it is."""

    @property
    def num_parameters(self) -> int:
        """Numbers that the data decided: factors, weights, counts."""
        ...


class BaselineTrainer(Protocol[M_co]):
    """A model that is learned step by step."""

    def step(self) -> None: ...

    def scorer(self) -> M_co:
        """What was learned so far; later steps leave it as it is."""
        ...


class Tuning:
    """The validation window, and how far the search has come."""

    def __init__(self, split: EvaluationSplit, name: str, progress: Progress) -> None:
        self.window = split.validation
        self.timed = split.timed
        self._name = name
        self._progress = progress

    def report(self, stage: str, share: float) -> None:
        """Show a line; `share` is of the whole baseline."""
        self._progress(f"{self._name}: {stage}", share)

    @torch.no_grad()
    def ndcg(self, scorer: Scorer) -> float:
        """What is tuned for."""
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
        """From `start`, field after field of `grid` the value that ranks best; the first of equals stays.

        Returns the settings and the scorer built from them. `built` is that of `start` where it stands already,
        `shares` is where in the whole this search begins and ends.
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

    def stopped_early(
        self,
        trainer: BaselineTrainer[M],
        *,
        at_most: int,
        every: int,
        patience: int,
        shares: tuple[float, float],
        variants: Callable[[M], Sequence[M]] = lambda scorer: (scorer,),
    ) -> tuple[int, M, float]:
        """Train until `patience` looks, one `every` so many steps, have found nothing better.

        Returns the best number of steps, the scorer after it (the best of its `variants`) and its NDCG.
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


def trained(trainer: BaselineTrainer[M], steps: int) -> M:
    """The scorer after so many steps."""
    for _ in range(steps):
        trainer.step()
    return trainer.scorer()


def settings_of(settings: "DataclassInstance") -> Settings:
    """The fields by name, as the report shows them."""
    return {name: value if isinstance(value, str) else float(value) for name, value in asdict(settings).items()}
