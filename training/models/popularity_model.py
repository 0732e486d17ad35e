"""Popularity model: recent popularity as a model with one term, which serves like any other model.

Arrives: a data set, and the half-life that the tuned baseline has. Leaves: a `Recommender`. Next:
`training.lifecycle.run` saves and promotes it where no model is better.
"""

from training.blend.blend import Blend, feature_names
from training.data.dataset import Dataset
from training.models.recommender import Recommender
from training.terms.trend import Trend

POPULARITY = "popularity"
"""The kind of this model, beside the kinds of the runs."""


def popularity_model(dataset: Dataset, half_life_hours: float, *, model_version: str, repeats: bool) -> Recommender:
    """Return the model that lists every item by its decayed count, the same for all users."""
    term = Trend.fit(dataset.log, (half_life_hours,))
    names = feature_names([term], separate_known=repeats)
    weights = (1.0, *(0.0 for _ in names[1:]))  # known items have no additional weight
    return Recommender(
        model_version=model_version,
        kind=POPULARITY,
        as_of=dataset.as_of,
        repeats=repeats,
        item_ids=dataset.item_ids,
        item_keys=dataset.item_keys,
        available=dataset.available,
        terms=[term],
        blend=Blend(
            feature_names=names,
            scale=tuple(1.0 for _ in names),
            warm=weights,
            activity=tuple(0.0 for _ in names),
            activity_mean=0.0,
            activity_sd=1.0,
            cold=None,
            unknown=weights,
        ),
    )
