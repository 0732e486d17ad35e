"""The gate: whether a challenger takes the champion's place.

Arrives: two evaluations on one window that neither model was fitted on. Leaves: a verdict with its reasons. Next:
`training.lifecycle.registry` promotes or keeps. Pure: no clock, no database; the seed decides the resamples.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from graphstore.arrays import Float64Array
from training.evaluation.ranking import Evaluation

RESAMPLES = 2_000
MAX_DRAWS = 20_000_000
"""Bounds the bootstrap's work on a big window: fewer resamples, at least 200."""


@dataclass(frozen=True)
class GateRules:
    """What a challenger must show."""

    metric: str = "ndcg@20"
    min_users: int = 30
    confidence: float = 0.9
    """Share of the bootstrap's resamples in which the challenger must be ahead."""
    min_coverage_ratio: float = 0.5
    """Its lists must cover at least this share of what the champion's cover."""


@dataclass(frozen=True)
class GateDecision:
    """`reasons` are sentences for people: what spoke for the verdict, or everything that spoke against it."""

    verdict: Literal["promoted", "kept"]
    reasons: list[str]


def decide(
    challenger: Evaluation,
    champion: Evaluation | None,
    *,
    popularity: Evaluation | None = None,
    rules: GateRules,
    seed: int,
) -> GateDecision:
    """The challenger is promoted where, user by user, it is ahead of the champion beyond chance.

    Chance is a paired bootstrap over the users (Efron, 1979). The first champion has nobody to beat: it is promoted
    unless its scores are not finite, or recent `popularity` is ahead of it beyond chance; too few users speak neither
    for nor against it. Raises `ValueError` where the users differ.
    """
    if not challenger.finite:
        return GateDecision("kept", ["some scores are not finite"])
    if champion is None:
        return _first(challenger, popularity, rules, seed)
    difference = _paired(challenger, champion, rules.metric)
    against = []
    if len(difference) < rules.min_users:
        against.append(f"only {len(difference)} users in the window, {rules.min_users} needed")
    if champion.coverage > 0 and challenger.coverage < rules.min_coverage_ratio * champion.coverage:
        against.append(f"lists cover {challenger.coverage:.1%} of the items, the champion's {champion.coverage:.1%}")
    mean, ahead = _ahead(difference, seed)
    verdict = f"{rules.metric} {mean:+.4f} against the champion, ahead in {ahead:.1%} of resamples"
    if not (mean > 0 and ahead >= rules.confidence):
        against.append(f"{verdict}, {rules.confidence:.0%} needed")
    return GateDecision("kept", against) if against else GateDecision("promoted", [verdict])


def _first(challenger: Evaluation, popularity: Evaluation | None, rules: GateRules, seed: int) -> GateDecision:
    reasons = ["there was no champion"]
    if popularity is not None:
        mean, ahead = _ahead(_paired(challenger, popularity, rules.metric), seed)
        compared = f"{rules.metric} {mean:+.4f} against recent popularity"
        if len(challenger.users) >= rules.min_users and mean < 0 and 1 - ahead >= rules.confidence:
            return GateDecision("kept", [f"{compared}, behind in {1 - ahead:.1%} of resamples"])
        reasons.append(compared)
    return GateDecision("promoted", reasons)


def _paired(one: Evaluation, other: Evaluation, metric: str) -> Float64Array:
    if not np.array_equal(one.users, other.users):
        raise ValueError("the two models were not measured on the same users")
    return one.per_user[metric] - other.per_user[metric]


def _ahead(difference: Float64Array, seed: int) -> tuple[float, float]:
    """The mean, and the share of resamples of the users whose mean is above zero."""
    users = len(difference)
    if not users:
        return 0.0, 0.0
    rng = np.random.default_rng(seed)
    resamples = max(200, min(RESAMPLES, MAX_DRAWS // users))
    means = np.array([difference[rng.integers(0, users, users)].mean() for _ in range(resamples)])
    return float(difference.mean()), float((means > 0).mean())
