"""Exploration: draws the order of a shown list, and gives the exact probability of each item at its position.

Arrives: the scores of a list, the number of new items, the settings of the slot (`serving.routing.Exploration`), and a
seed. Leaves: a `Draw`. Next: `serving.rules` makes a list of it, `serving.web.impressions` logs its propensities, and
`monitoring.ope` asks with `propensities` and `probabilities` what other settings would have done.

The law, position after position: with the probability `new_items` the next item is a new one, each remaining new item
with the same probability. Otherwise it is an item of the list, item i with the probability

    exp(score_i / temperature) / Σ exp(score_l / temperature), l over the items of the list that are not shown yet.

This is the Plackett-Luce model (Luce, 1959; Plackett, 1975). With temperature 0 the next item of the list comes. When
one of the two groups is used up, the other one fills the rest.

The propensity of an item is the probability of the item at its position, given the items before it. So the product of
the propensities of a list is the probability of the whole list, and the product up to a position is the weight that
the estimators for lists need. Rejected: the marginal probability of an item at a position. It is a sum over all
beginnings of the list, and a product of marginals is the probability of nothing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphstore.arrays import BoolArray, Float64Array
from serving.routing import Exploration

NEW = "new"
"""The source of a new item in an impression, beside the sources of lists."""

SMALLEST = float(np.finfo(np.float64).tiny)
"""A shown item never has the probability 0, whatever is rounded."""
WIDEST = 1e9
"""The largest difference of two logits. A temperature that makes more of the scores is raised to it."""


@dataclass(frozen=True)
class Draw:
    """A drawn list. A choice below the number of scores is a row of the list, a higher one a new item."""

    choices: list[int]
    propensities: list[float]


def explores(how: Exploration) -> bool:
    """Return whether these settings ever deviate from the list."""
    return how.temperature > 0 or how.new_items > 0


def seed_of(request_id: str) -> int:
    """Return the seed of a request: the same request always draws the same list."""
    return int.from_bytes(hashlib.blake2b(request_id.encode(), digest_size=8).digest(), "big")


def draw(scores: Sequence[float] | Float64Array, new: int, how: Exploration, *, count: int, seed: int) -> Draw:
    """Return the first `count` positions of a drawn list.

    Args:
        scores: Scores [n] of the list, best first, finite.
        new: The number of new items. None of them may be in the list.
        how: The settings.
        count: The length of the drawn list. It is shorter when list and new items together are shorter.
        seed: Decides the result.
    """
    rng = np.random.default_rng(seed)
    logits = _logits(scores, how)
    order, chances = np.arange(len(scores)), np.ones(min(count, len(scores)))
    if how.temperature > 0:
        # The order of logit + Gumbel noise has the Plackett-Luce law (Yellott, 1977). What a new item pushes down keeps
        # its place in this order, because the new items do not depend on the noise.
        order = np.argsort(-(logits + rng.gumbel(size=len(logits))), kind="stable")
        drawn = logits[order]
        # log Σ over the remaining items, summed from the end: no differences of sums, so nothing cancels.
        chances = np.exp((drawn - np.logaddexp.accumulate(drawn[::-1])[::-1])[:count])
    listed, chance_of = order[:count].tolist(), chances.tolist()
    if how.new_items <= 0 or new == 0:
        return Draw(listed, [max(chance, SMALLEST) for chance in chance_of])
    fresh = (len(scores) + rng.permutation(new)).tolist()
    takes_new = (rng.random(count) < how.new_items).tolist()
    choices: list[int] = []
    propensities: list[float] = []
    shown = added = 0
    length = len(scores)
    for wants_new in takes_new:
        list_left, new_left = length - shown, new - added
        if not list_left and not new_left:
            break
        share = how.new_items if list_left and new_left else _share(how, list_left, new_left)
        if new_left and (wants_new or not list_left):
            choices.append(fresh[added])
            propensities.append(max(share / new_left, SMALLEST))
            added += 1
        else:
            choices.append(listed[shown])
            propensities.append(max((1.0 - share) * chance_of[shown], SMALLEST))
            shown += 1
    return Draw(choices, propensities)


def probabilities(
    scores: Sequence[float] | Float64Array, new: int, how: Exploration, before: Sequence[int] = ()
) -> Float64Array:
    """Return the probability of each choice [n + new] at the next position, given the choices before it.

    All are 0 when every choice was made.
    """
    logits = _logits(scores, how)
    left = np.ones(len(logits) + new, dtype=np.bool_)
    left[list(before)] = False
    listed, fresh = left[: len(logits)], left[len(logits) :]
    share = _share(how, int(listed.sum()), int(fresh.sum()))
    chances = np.zeros(len(left))
    if listed.any():
        chances[: len(logits)] = (1.0 - share) * _next(logits, listed, how)
    if fresh.any():
        chances[len(logits) :] = share * fresh / fresh.sum()
    return chances


def draw_next(
    utilities: Float64Array, allowed: BoolArray, new: BoolArray, how: Exploration, rng: np.random.Generator
) -> tuple[int, float]:
    """Draw the next position of a list where rules say what may come, and return its choice with its propensity.

    The law is the same, over the allowed choices alone.

    Args:
        utilities: Utilities [n] of all choices. Those of new items do not count.
        allowed: Which choices [n] may come; at least one.
        new: Which choices [n] are new items.
        how: The settings.
        rng: The source of randomness.
    """
    # A list asks twenty times: the functions here are those of NumPy that cost little for some hundred rows.
    is_fresh = allowed & new
    rows, fresh = (allowed ^ is_fresh).nonzero()[0], is_fresh.nonzero()[0]
    list_left, new_left = len(rows), len(fresh)
    share = _share(how, list_left, new_left)
    if new_left and (not list_left or rng.random() < share):
        return int(rng.choice(fresh)), max(share / new_left, SMALLEST)
    values = utilities[rows]
    if how.temperature <= 0:
        return int(rows[values.argmax()]), max(1.0 - share, SMALLEST)
    # Fresh noise at each position: what is allowed changes, so what remains of old noise would have another law.
    logits = _logits(values, how)
    chosen = int((logits + rng.gumbel(size=len(logits))).argmax())
    weights = np.exp(logits)  # the largest logit is 0
    return int(rows[chosen]), max((1.0 - share) * float(weights[chosen] / weights.sum()), SMALLEST)


def propensities(
    scores: Sequence[float] | Float64Array, new: int, how: Exploration, choices: Sequence[int | None]
) -> list[float]:
    """Return the probability of each choice of a list at its position, given the choices before it.

    A choice None is an item that these settings cannot show. Its probability is 0, and it takes no item away.
    """
    found: list[float] = []
    before: list[int] = []
    for choice in choices:
        if choice is None:
            found.append(0.0)
            continue
        found.append(float(probabilities(scores, new, how, before)[choice]))
        before.append(choice)
    return found


def _logits(scores: Sequence[float] | Float64Array, how: Exploration) -> Float64Array:
    values = np.asarray(scores, dtype=np.float64)
    if how.temperature <= 0 or not len(values):
        return values
    below = values - values[values.argmax()]
    # Wider logits would swallow the noise between two equal scores, and their order would not be drawn.
    logits: Float64Array = below / max(how.temperature, float(-below[below.argmin()]) / WIDEST)
    return logits


def _next(logits: Float64Array, left: BoolArray, how: Exploration) -> Float64Array:
    """Return the probability of each row of the list as the next one of the list."""
    if how.temperature <= 0:
        chances = np.zeros(len(logits))
        chances[int(np.argmax(left))] = 1.0  # the first that is left
        return chances
    weights = np.exp(np.where(left, logits - logits[left].max(), -np.inf))
    return np.asarray(weights / weights.sum())


def _share(how: Exploration, list_left: int, new_left: int) -> float:
    """Return the probability that the next position shows a new item."""
    if not new_left:
        return 0.0
    return how.new_items if list_left else 1.0
