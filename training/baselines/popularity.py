"""Popularity: a baseline with and without decay, and a term that is added to every other baseline.

Arrives: an `EvaluationSplit`, and for the term a scorer fitted on its past. Leaves: a `FittedBaseline`. Next:
`training.baselines.contenders` names it.

On a catalogue that changes, a term of recent popularity improves every pair-based model by more than these models
differ from each other. Without this term they would be weak baselines.
"""

from collections.abc import Callable, Iterator
from math import inf

import numpy as np
import torch
from torch import Tensor

from training.baselines.gate import RecentPopularity
from training.baselines.tuning import FittedBaseline, Settings, SizedScorer, Tuning
from training.data.event_log import AsOf, Histories
from training.data.splits import EvaluationSplit
from training.data.windows import Window
from training.evaluation.ranking import METRIC, Scorer, evaluate
from training.options import TrainingOptions
from training.terms.trend import SPAN_SHARES, Trend

FIRST_WEIGHTS = (0.2, 1.0)
"""The half-life is chosen with these weights, then the weight with that half-life."""

WEIGHTS = (-0.2, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5, 2.0, 4.0)

SCORES_MB = 256
"""Memory (10⁶ bytes) for the scores that the model gave in the first search, for the second one."""


class WithPopularity:
    """z(model) + weight · z(log(1 + decayed count)), where z standardises over the items.

    An empty history gets popularity alone.
    """

    def __init__(self, model: Scorer, popularity: RecentPopularity, weight: float) -> None:
        self.model = model
        self.popularity = popularity
        self.weight = weight

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return scores [B, num_items]."""
        own = standardise(self.model(histories, as_of=as_of))
        popular = standardise(self.popularity(histories, as_of=as_of))
        return sum_scores(own, popular, self.weight, histories)


def sum_scores(own: Tensor, popular: Tensor, weight: float, histories: Histories) -> Tensor:
    """Return the sum of two standardised scores [B, num_items], and `popular` alone for an empty history."""
    known = torch.from_numpy(np.diff(histories.offsets) > 0)[:, None]
    return torch.where(known, own + weight * popular, popular)


def standardise(scores: Tensor) -> Tensor:
    """Return each row with mean 0 and standard deviation 1. A constant row becomes zeros."""
    centred = scores - scores.mean(dim=1, keepdim=True)
    return centred / centred.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-9)


def add_popularity(
    split: EvaluationSplit,
    tuning: Tuning,
    past: Scorer,
    refit: Callable[[], SizedScorer],
    settings: Settings,
    *,
    scores_mb: float = SCORES_MB,
) -> FittedBaseline:
    """Tune the popularity term for `past`, a scorer fitted on the split's past, and add the term to the refitted model.

    `refit` fits the chosen settings on all known events. `scores_mb` bounds the kept scores (10⁶ bytes); it never
    changes the result.
    """
    tuning.report("popularity", 0.6)
    half_life, weight = _chosen(split, tuning.window, past, scores_mb=scores_mb)
    tuning.report("refit", 0.7)
    model = refit()
    num_parameters = model.num_parameters
    tuning.report("fitted", 1.0)
    term: Settings = {"popularity_weight": weight}
    if weight:
        term |= {"popularity_half_life_hours": half_life}
        num_parameters += split.num_items
    return FittedBaseline(
        scorer=WithPopularity(model, RecentPopularity(Trend.fit(split.known, (half_life,))), weight),
        num_parameters=num_parameters,
        settings=settings | term,
    )


def half_lives(split: EvaluationSplit) -> tuple[float, ...]:
    """Return the half-lives to try (hours): shares of the time span of the past. Untimed data have only infinity."""
    if not split.timed:
        return (inf,)
    return (inf, *(max(split.past.span_hours / share, 1.0) for share in SPAN_SHARES))


class _OwnScores:
    """The model's standardised scores, block by block. What fits into `room_mb` is computed once, the rest each time.

    All scores of the validation took 4.7 GB for 29,000 users and 41,000 items. Rejected: a sample of the users, because
    it changes what is chosen.
    """

    def __init__(self, model: Scorer, window: Window, *, room_mb: float) -> None:
        self._model = model
        self._window = window
        users = min(len(window), int(room_mb * 1e6 / (4 * max(window.num_items, 1))))
        # One array: blocks kept one by one leave gaps between them that are not reused.
        self._kept = torch.empty(users, window.num_items)
        self._filled = 0

    def blocks(self) -> Iterator[tuple[Window, Tensor]]:
        """Yield each block of the window with the scores [B, num_items] of its users."""
        first = 0
        for block in self._window.blocks():
            last = first + len(block)
            if last <= self._filled:
                yield block, self._kept[first:last]
            else:
                scores = standardise(self._model(block.histories, as_of=block.as_of))
                if last <= len(self._kept):
                    self._kept[first:last] = scores
                    self._filled = last
                yield block, scores
            first = last


@torch.no_grad()
def _chosen(split: EvaluationSplit, window: Window, model: Scorer, *, scores_mb: float) -> tuple[float, float]:
    """Return half-life (hours) and weight."""
    lives = half_lives(split)
    trend = Trend.fit(split.past, lives)
    own = _OwnScores(model, window, room_mb=scores_mb)

    def gains(indices: list[int], weights: tuple[float, ...]) -> dict[tuple[int, float], float]:
        sums: dict[tuple[int, float], float] = {}
        for block, scores in own.blocks():
            features = trend.score(block.histories, as_of=block.as_of)
            for index in indices:
                popular = standardise(features[:, :, index])
                for weight in weights:
                    total = sum_scores(scores, popular, weight, block.histories)
                    evaluation = evaluate(lambda _, *, as_of, total=total: total, block, cutoffs=(20,))
                    key = (index, weight)
                    sums[key] = sums.get(key, 0.0) + float(evaluation.per_user[METRIC].sum())
        return sums

    first = gains(list(range(len(lives))), FIRST_WEIGHTS)
    index = max(first, key=lambda key: first[key])[0]
    second = gains([index], (0.0, *WEIGHTS))
    return lives[index], max(second, key=lambda key: second[key])[1]


def fit_popular(split: EvaluationSplit, options: TrainingOptions) -> FittedBaseline:
    """Rank every item by its count."""
    options.progress("popular: fitted", 1.0)
    scorer = RecentPopularity(Trend.fit(split.known, (inf,)))
    return FittedBaseline(scorer=scorer, num_parameters=split.num_items, settings={})


def fit_recent(split: EvaluationSplit, options: TrainingOptions) -> FittedBaseline:
    """Rank every item by its decayed count with a tuned half-life. Untimed data give plain popularity."""
    tuning = Tuning(split, "recent", options.progress)
    lives = half_lives(split)
    ndcg = {life: tuning.ndcg(RecentPopularity(Trend.fit(split.past, (life,)))) for life in lives}
    life = max(lives, key=lambda value: ndcg[value])
    tuning.report("fitted", 1.0)
    return FittedBaseline(
        scorer=RecentPopularity(Trend.fit(split.known, (life,))),
        num_parameters=split.num_items,
        settings={"half_life_hours": life},
    )
