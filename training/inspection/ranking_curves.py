"""Ranking curves: a model's measures for every list length, beside recent popularity.

Arrives: a model as published, and a newer snapshot. Leaves: `RankingCurves`. Next: `training.inspection.plots` draws
them.
"""

from dataclasses import dataclass
from math import inf

import numpy as np

from graphstore.arrays import Float64Array
from graphstore.snapshots.files import Snapshot
from training.baselines.gate import RECENT_POPULARITY, SPAN_SHARES, RecentPopularity
from training.data.dataset import full_split
from training.data.event_log import EventLog
from training.data.windows import Window
from training.evaluation.ranking import METRIC, Scorer, accuracy, evaluate, recommend
from training.inspection.later_evaluation import later_window
from training.models.recommender import Recommender
from training.terms.trend import Trend

LONGEST = 100
MEASURES = ("ndcg", "recall", "precision", "hit_rate")


@dataclass(frozen=True)
class RankingCurves:
    """Means over the same users of one window."""

    users: int
    since: int
    """Epoch ms. The window begins at this time."""
    models: dict[str, dict[str, Float64Array]]
    """By model and measure name, each [LONGEST] for lists of 1 … LONGEST items."""


def ranking_curves(model: Recommender, snapshot: Snapshot, *, max_users: int, seed: int = 0) -> RankingCurves:
    """Measure the model and recent popularity on later events, like `training.inspection.later_evaluation`.

    Popularity knows the same events as the model. Its half-life is the best one on the last tenth of these events.
    Raises `TooFewEvents`.
    """
    dataset, known, window = later_window(model, snapshot, max_users=max_users, seed=seed)
    scorers: dict[str, Scorer] = {
        model.model_version: model.aligned_scorer(dataset.item_keys),
        RECENT_POPULARITY.replace("_", " "): recent_popularity(known, repeats=model.repeats, max_users=max_users),
    }
    return RankingCurves(
        users=len(window),
        since=model.as_of,
        models={name: curve(scorer, window) for name, scorer in scorers.items()},
    )


def curve(scorer: Scorer, window: Window) -> dict[str, Float64Array]:
    """Return the measures by name, each [LONGEST]. Raises `ValueError` for scores that are not finite."""
    lists, finite = recommend(scorer, window, k=LONGEST)
    if not finite:
        raise ValueError("some scores are not finite")
    lengths = range(1, LONGEST + 1)
    values = accuracy(lists, window, cutoffs=lengths)
    return {name: np.array([values[f"{name}@{k}"].mean() for k in lengths]) for name in MEASURES}


def recent_popularity(known: EventLog, *, repeats: bool, max_users: int) -> RecentPopularity:
    """Return popularity over `known`, with the best half-life on its last tenth. Raises `TooFewEvents`."""
    cut = full_split(known, champion_as_of=None, min_users=0).test
    past, window = known.between(end=cut), Window.cut(known, start=cut, repeats=repeats, max_users=max_users)
    lives = [*(known.span_hours / share for share in SPAN_SHARES), inf]
    ndcg = [evaluate(RecentPopularity(Trend.fit(past, (life,))), window).metrics()[METRIC] for life in lives]
    return RecentPopularity(Trend.fit(known, (lives[int(np.argmax(ndcg))],)))
