"""Click world: a shop whose true values are known, with six items, two positions, and shoppers who come several times.

A shopper reads from the top. A click depends on the item, its position, the item above it, and the shopper. All lists
are enumerated, so the value of every setting is a sum.
"""

from itertools import permutations

import numpy as np

from graphstore.arrays import BoolArray, Float64Array
from monitoring.ope.estimators import Lists
from serving.exploration import probabilities, propensities
from serving.routing import Exploration

SCORES = np.array([1.5, 1.0, 0.5, 0.0, -0.5, -1.0])
CLICKS = np.array([0.10, 0.30, 0.15, 0.35, 0.20, 0.40])
POSITIONS = 2
CHOSEN = np.array(list(permutations(range(len(SCORES)), POSITIONS)))
LOGGED = Exploration(temperature=1.0)
OTHER = Exploration(temperature=0.5)


def chances(how: Exploration) -> Float64Array:
    """The propensities of every list [lists, positions]."""
    return np.array([propensities(SCORES, 0, how, chosen) for chosen in CHOSEN.tolist()])


def rates() -> Float64Array:
    """Click probabilities of a mean shopper at every list [lists, positions]."""
    first, second = CLICKS[CHOSEN].T
    return np.stack([first, 0.7 * second * (1 - first)], axis=1)  # who clicks above, clicks less below


def true_value(how: Exploration) -> float:
    """Clicks for each shown item."""
    return float((chances(how).prod(axis=1) @ rates()).sum() / POSITIONS)


def predictions(how: Exploration, model: Float64Array) -> tuple[Float64Array, Float64Array]:
    """What a model (item, position) predicts for each list, and on average under the setting."""
    predicted = np.stack([model[CHOSEN[:, place], place] for place in range(POSITIONS)], axis=1)
    expected = np.array(
        [
            [float(probabilities(SCORES, 0, how, chosen[:place]) @ model[:, place]) for place in range(POSITIONS)]
            for chosen in CHOSEN.tolist()
        ]
    )
    return predicted, expected


class World:
    """Draws logs. `model` predicts the click of an item at a position, right or wrong."""

    def __init__(self, other: Exploration = OTHER, *, model: Float64Array | None = None) -> None:
        logged = chances(LOGGED)
        self._probability = logged.prod(axis=1)
        self._ratios = chances(other) / logged
        model = np.outer(CLICKS, [1.0, 0.5]) if model is None else model
        self._predicted, self._expected = predictions(other, model)

    def log(self, rng: np.random.Generator, *, shoppers: int, mean_lists: float = 4.0) -> Lists:
        """Lists of shoppers who differ in how often they come and how often they click."""
        visits = 1 + rng.poisson(mean_lists - 1, shoppers)
        who = np.repeat(np.arange(shoppers), visits)
        drawn = rng.choice(len(CHOSEN), size=len(who), p=self._probability)
        mood = rng.choice([0.4, 1.6], size=shoppers)[who][:, None]
        rewards = (rng.random((len(who), POSITIONS)) < mood * rates()[drawn]).astype(np.float64)
        shown: BoolArray = np.ones(rewards.shape, dtype=np.bool_)
        return Lists(shown, self._ratios[drawn], rewards, who, self._predicted[drawn], self._expected[drawn])
