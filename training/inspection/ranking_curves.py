"""How a model ranks, list length by list length, beside recent popularity.

Arrives: a model as it was published, a snapshot that is newer. Leaves: `RankingCurves`. Next:
`training.inspection.plots` draws them.
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
    """Epoch ms at which the window begins."""
    models: dict[str, dict[str, Float64Array]]
    """By model its measures by name, each [LONGEST] for lists of 1 … LONGEST items."""


def ranking_curves(model: Recommender, snapshot: Snapshot, *, max_users: int, seed: int = 0) -> RankingCurves:
    """Of the model and of recent popularity, on what came after the model, as `training.inspection.later_evaluation`
    measures it.

    Popularity knows what the model knows, and forgets at the pace that ranked the last tenth of it best. Raises
    `TooFewEvents`.
    """
    dataset, known, window = later_window(model, snapshot, max_users=max_users, seed=seed)
    scorers: dict[str, Scorer] = {
        model.model_version: model.aligned(dataset.item_keys),
        RECENT_POPULARITY.replace("_", " "): recent_popularity(known, repeats=model.repeats, max_users=max_users),
    }
    return RankingCurves(
        users=len(window),
        since=model.as_of,
        models={name: curve(scorer, window) for name, scorer in scorers.items()},
    )


def curve(scorer: Scorer, window: Window) -> dict[str, Float64Array]:
    """The measures by name, each [LONGEST]; raises `ValueError` for scores that are not finite."""
    lists, finite = recommend(scorer, window, k=LONGEST)
    if not finite:
        raise ValueError("some scores are not finite")
    lengths = range(1, LONGEST + 1)
    values = accuracy(lists, window, cutoffs=lengths)
    return {name: np.array([values[f"{name}@{k}"].mean() for k in lengths]) for name in MEASURES}


def recent_popularity(known: EventLog, *, repeats: bool, max_users: int) -> RecentPopularity:
    """Over all of `known`, with the half-life that ranks its last tenth best. Raises `TooFewEvents`."""
    cut = full_split(known, champion_as_of=None, min_users=0).test
    past, window = known.between(end=cut), Window.cut(known, start=cut, repeats=repeats, max_users=max_users)
    lives = [*(known.span_hours / share for share in SPAN_SHARES), inf]
    tried = [evaluate(RecentPopularity(Trend.fit(past, (life,))), window).metrics()[METRIC] for life in lives]
    return RecentPopularity(Trend.fit(known, (lives[int(np.argmax(tried))],)))
