"""Model search: chooses all settings of the sum of terms on a validation window, then fits on all known events.

Arrives: an `EvaluationSplit`, item features. Leaves: `ChosenModel`, a scorer with its chosen settings. Next:
`training.benchmark.run` compares it with the baselines.

Terms are fitted on the past and compared on the validation window. GraphSAGE shapes are compared by their own NDCG
after early stopping. All other choices use the blend out of fold (`training.search.blend_search`). The search never
reads the test window.

Rejected: both GraphSAGE shapes in one sum. They gained 4.5 % on the validation window of `amazon_ratings_hin`, but
nothing on its test window, and nothing on the test window of ML-100K.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.blend.blend import Blend
from training.blend.fit import BlendSettings
from training.blend.selection import Selection, clearly_better
from training.config import SageConfig, TrainingConfig
from training.data.event_log import AsOf, Histories
from training.data.splits import SEARCH_USERS, EvaluationSplit
from training.evaluation.ranking import METRIC, Scorer, evaluate
from training.models.candidate import Candidate
from training.options import TrainingOptions
from training.sage.fit import NothingToLearn, fit_sage
from training.sage.term import SageTerm
from training.search.blend_search import BlendSearch
from training.search.budget import NO_BUDGET, SearchBudget
from training.search.race import Lap, falls_behind
from training.terms.protocol import Term

CHOICES = {
    "last_items": 100,
    "half_lives_ranks": (1.0, 6.0, 30.0, inf),
    "learning_rate": 1e-2,
    "weight_decay": 1e-2,
    "ties": "random",
}
"""Single choices, one after the other. Events with equal times are ordered at random: the clock was too coarse."""
BASKETS = {"last_items": 200, "half_lives_ranks": (20.0, 100.0, inf), "learning_rate": 3e-3}
"""Baskets of many items, in long histories."""
RECENT = BASKETS | {"target_half_life_spans": 0.1, "batch_size": 8_192}
"""Baskets in an assortment that changes. A step of 2,048 targets would see only a hundred baskets."""
WHOLE = {"last_items": 1000, "half_lives_ranks": (inf,), "learning_rate": 1e-2}
"""Data without an order in time: the whole history, all items with the same weight."""
SAGE_SHAPES: tuple[dict[str, Any], ...] = (CHOICES, BASKETS, RECENT)
PATIENT = {"max_steps": 1_500, "evaluate_every": 50, "patience": 6}
"""Settings for a small window, where NDCG goes up and down while it improves. `paced` fits them to the data."""

FIRST_LOOK = 10
"""The least number of steps between two evaluations."""
PATIENT_STEPS = 120
"""The least number of steps without a better NDCG before a fit stops."""
SAGE_SHARE = 0.65
"""Of a budget: what may be spent when all shapes of GraphSAGE are fitted. Then come the blends and the last fit."""
EPOCHS = 8
"""So many passes over the data a fit may take, if that is more than `PATIENT` allows."""

WITHOUT_SAGE = "without-graphsage"
"""Name of the part that is shown beside the whole sum."""

LEFT_OUT = "left out: the sum ranks the validation better without"
NO_PAST = "left out: no event has a past to learn from"


@dataclass(frozen=True)
class ChosenModel:
    """The whole sum of terms; a `training.evaluation.ranking.Scorer`."""

    candidate: Candidate
    settings: dict[str, Any]
    parts: Mapping[str, Scorer] = field(default_factory=dict)
    """The sum without GraphSAGE, with its own blend."""

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        return self.candidate(histories, as_of=as_of)

    @property
    def num_parameters(self) -> int:
        """Learned numbers: weights of the blend and of GraphSAGE, factors, kept weights of the filters."""
        weights = 2 * len(self.candidate.blend.feature_names)
        return weights + sum(term.num_parameters for term in self.candidate.terms)


def with_patience(config: TrainingConfig) -> TrainingConfig:
    """Return the configuration with more steps and patience, for a comparison without time pressure."""
    return config.model_copy(update={"sage": config.sage.model_copy(update=PATIENT)})


def paced(config: SageConfig, *, events: int) -> SageConfig:
    """Return the configuration with evaluations and steps that suit the number of events of a fit.

    A fit of 30,000 events is best after some two passes, which are 30 steps: an evaluation every 50 steps saw only its
    decline, and NDCG@20 was 8 % lower. A fit of 800,000 pairs still rises after four passes.
    """
    epoch = max(1, events // config.batch_size)
    every = max(min(config.evaluate_every, max(FIRST_LOOK, epoch // 2)), epoch // EPOCHS)
    patience = max(config.patience, min(PATIENT_STEPS, config.patience * config.evaluate_every) // every)
    return config.model_copy(
        update={
            "evaluate_every": every,
            "patience": patience,
            "max_steps": max(config.max_steps, EPOCHS * epoch),
        }
    )


def fit_best(
    split: EvaluationSplit,
    features: Tensor | None,
    *,
    config: TrainingConfig,
    options: TrainingOptions,
    budget_seconds: float = inf,
) -> ChosenModel:
    """Search on the validation window, then fit the chosen settings on all events before the test window.

    GraphSAGE is left out when the sum ranks the validation users clearly worse with it, out of fold, each sum with the
    multipliers that suit it. Early stopping of GraphSAGE used the same users.

    `features` [num_items, width] of all items, None without a catalogue. `config` gives the settings that are not
    searched. `budget_seconds` are CPU seconds for all of it (`training.search.budget`).
    """
    budget = SearchBudget.start(budget_seconds)
    seed, progress = options.seed, options.progress
    width = torch.zeros(split.num_items, 0) if features is None else features
    progress("choosing the filters", 0.0)
    search = BlendSearch.of(split, memory_mb=config.blend_memory_mb, seed=seed, budget=budget)
    bank = search.best_bank()
    search = search.with_best_focus(bank).with_best_trend(bank).with_best_habit(bank)
    search = search.with_best_content(bank, width).with_best_factorisation(bank)
    plain: list[Term] = [bank, *search.others]
    sage = _best_sage(split, width, config=config.sage, options=options.part(0.2, 0.7, "GraphSAGE"), budget=budget)
    progress("choosing the blend", 0.7)
    held_plain = search.best_l2(plain)
    blend_plain, selected_plain = search.blend(plain, held_plain)
    reason = NO_PAST
    if sage is not None:
        held = search.best_l2([*plain, sage])
        blend, selected = search.blend([*plain, sage], held, compared=selected_plain)
        if search.has_enough_users and clearly_better(selected_plain.per_user, selected.per_user):
            sage, reason = None, LEFT_OUT
    progress("fitting on all that is known", 0.75)
    fitted = [bank.refit(split.known, seed=seed), *search.refit_others(split.known)]
    without = Candidate(fitted, blend_plain)
    settings: dict[str, Any] = {
        **bank.choices,
        "terms": {term.name: term.choices for term in search.others},
        "left_out": {**search.left_out, **dict.fromkeys(budget.refused, NO_BUDGET)},
    }
    if sage is None:
        return ChosenModel(
            without,
            settings | {"sage": reason, **_weights(blend_plain, held_plain, selected_plain)},
            {WITHOUT_SAGE: without},
        )
    sage = fit_sage(
        split.known,
        width,
        config=sage.config.model_copy(update={"max_steps": split.refit_steps(sage.steps)}),
        options=options.part(0.8, 1.0, "GraphSAGE"),
    )
    shape = {*CHOICES, *RECENT, "max_steps"}
    settings |= {"sage": sage.config.model_dump(include=shape), **_weights(blend, held, selected)}
    return ChosenModel(Candidate([*fitted, sage], blend), settings, {WITHOUT_SAGE: without})


def _weights(blend: Blend, held: BlendSettings, selected: Selection) -> dict[str, Any]:
    weights = dict(zip(blend.feature_names, blend.warm, strict=True))
    chosen = {"multipliers": dict(selected.multipliers), "validation": dict(selected.ndcg)}
    return {"l2": held.l2, "l2_of_strangers": held.unknown_l2, "focus": held.focus, "weights": weights} | chosen


def _best_sage(
    split: EvaluationSplit, features: Tensor, *, config: SageConfig, options: TrainingOptions, budget: SearchBudget
) -> SageTerm | None:
    """Return the shape that ranks the validation window best alone, None when no event has an earlier event.

    A shape with baskets may find nothing to learn where another shape does. A shape that falls far behind the best one
    so far stops. Under a budget each shape has its share of what is left, and stops with its best weights so far.
    """
    shapes = SAGE_SHAPES if split.timed else (WHOLE,)
    known = np.flatnonzero(split.validation.lengths())  # it cannot score cold users
    window = split.validation.take(known) if len(known) else split.validation
    chosen: SageTerm | None = None
    leader: Lap | None = None
    reached, begun = -1.0, budget.spent
    for index, shape in enumerate(shapes):
        share = begun + (SAGE_SHARE - begun) * (index + 1) / len(shapes)
        if chosen is not None and not budget.allows("more shapes of GraphSAGE", share):
            break
        own = options.part(index / len(shapes), (index + 1) / len(shapes))

        sage_config = config.model_copy(update={**shape, "repeats": split.test.repeats})
        sage_config = paced(sage_config, events=len(split.past))
        lap = Lap(sage_config.batch_size)

        def enough(share: float = share, lap: Lap = lap, leader: Lap | None = leader) -> bool:
            return falls_behind(lap, leader) or not budget.allows("more steps of GraphSAGE", share)

        own = replace(own, enough=enough, on_evaluation=lap.evaluations.append)
        try:
            term = fit_sage(split.past, features, config=sage_config, options=own, validation=window)
        except NothingToLearn as error:
            own.progress(str(error), 0.0)
            continue
        ndcg = evaluate(_alone(term), window.sample(SEARCH_USERS, seed=options.seed)).metrics()[METRIC]
        if ndcg > reached:
            chosen, reached, leader = term, ndcg, lap
    return chosen


def _alone(term: Term) -> Scorer:
    def score(histories: Histories, *, as_of: AsOf) -> Tensor:
        return term.score(histories, as_of=as_of)[:, :, 0]

    return score
