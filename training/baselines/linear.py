"""EASE: the closed-form linear item–item model, as a baseline.

Arrives: an `EvaluationSplit`. Leaves: a `FittedBaseline`. Next: `training.baselines.contenders` names it.

The model is `training.terms.linear_filter`. The baseline tunes more settings than the term of the blend, and keeps as
many weights as memory allows.
"""

from math import inf

from graphstore.tables import HOUR_MS
from training.baselines.gate import LinearItemModel
from training.baselines.popularity import add_popularity
from training.baselines.profile import HALF_LIVES
from training.baselines.tuning import FittedBaseline, Settings, Tuning
from training.data.splits import EvaluationSplit
from training.options import TrainingOptions
from training.terms.linear_filter import FilterSettings, LinearFilter

REGULARISATIONS = (2.0, 6.0, 20.0)
BEYOND = {2.0: (0.5, 0.1), 20.0: (50.0, 150.0)}
"""More values to try when the best value is at the edge of the grid."""

GRAM_SPAN_SHARES = (4.0, 16.0)

KEPT_WEIGHTS = 10_000_000
"""Weights of the item–item matrix that the model keeps. It keeps the strongest weights of each row."""


def fit_ease(split: EvaluationSplit, options: TrainingOptions) -> FittedBaseline:
    """Fit EASE: tune regularisation, profile, decay of the Gram matrix, again regularisation, then popularity."""
    tuning = Tuning(split, "ease", options.progress)
    start = FilterSettings(
        profile_half_life=inf,
        profile_events=max(len(split.known), 1),
        row_weights=max(KEPT_WEIGHTS // max(split.num_items, 1), 200),
    )
    fitted = dict(zip(REGULARISATIONS, LinearFilter.fit_each(split.past, start, REGULARISATIONS), strict=True))
    settings, model = tuning.greedy(
        start,
        lambda candidate: LinearItemModel(fitted[candidate.regularisation]),
        {"regularisation": REGULARISATIONS},
        shares=(0.0, 0.2),
    )
    if split.timed:
        settings, model = tuning.greedy(
            settings,
            lambda candidate: LinearItemModel(model.filter.variant(profile_half_life=candidate.profile_half_life)),
            {"profile_half_life": HALF_LIVES},
            built=model,
            shares=(0.2, 0.3),
        )
        lives = tuple(split.past.span_hours * HOUR_MS / share for share in GRAM_SPAN_SHARES)
        settings, model = tuning.greedy(
            settings,
            lambda candidate: LinearItemModel(LinearFilter.fit(split.past, candidate)),
            {"gram_half_life_ms": lives},
            built=model,
            shares=(0.3, 0.5),
        )
    around = tuple(value for value in REGULARISATIONS if value != settings.regularisation)
    more = BEYOND.get(settings.regularisation, ()) + (around if split.timed else ())
    fitted = dict(zip(more, model.filter.regularised(more), strict=True))
    settings, model = tuning.greedy(
        settings,
        lambda candidate: LinearItemModel(fitted[candidate.regularisation]),
        {"regularisation": more},
        built=model,
        shares=(0.5, 0.6),
    )

    chosen: Settings = {
        "regularisation": settings.regularisation,
        "profile_half_life": settings.profile_half_life,
        "gram_half_life_hours": settings.gram_half_life_ms / HOUR_MS,
    }
    return add_popularity(
        split, tuning, model, lambda: LinearItemModel(LinearFilter.fit(split.known, settings)), chosen
    )
