"""Gate: decides whether a challenger replaces the champion.

Arrives: two evaluations on one window that neither model was fitted on. Leaves: a verdict with its reasons. Next:
`training.lifecycle.registry` promotes or keeps. The gate uses no clock and no database; the seed decides the resamples.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from graphstore.arrays import Float64Array
from training.evaluation.ranking import Evaluation

RESAMPLES = 2_000
MAX_DRAWS = 20_000_000
"""Limits the work of the bootstrap on a big window: fewer resamples, but at least 200."""


@dataclass(frozen=True)
class GateRules:
    """The conditions for a promotion."""

    min_users: int
    confidence: float
    """The challenger must be better in this share of the bootstrap's resamples."""
    min_coverage_ratio: float
    """The challenger's coverage must be at least this share of the champion's coverage."""
    metric: str = "ndcg@20"


@dataclass(frozen=True)
class GateDecision:
    """The verdict. `reasons` are sentences for people: the reason of a promotion, or all reasons against it."""

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
    """Promote the challenger when it is better than the champion, user by user, beyond chance.

    A paired bootstrap over the users measures chance (Efron, 1979). Without a champion, the challenger is promoted
    unless its scores are not finite, or recent `popularity` is better beyond chance. With too few users this comparison
    does not count. Raises `ValueError` when the users differ.
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
    """Return the mean, and the share of resamples with a mean above zero."""
    users = len(difference)
    if not users:
        return 0.0, 0.0
    rng = np.random.default_rng(seed)
    resamples = max(200, min(RESAMPLES, MAX_DRAWS // users))
    means = np.array([difference[rng.integers(0, users, users)].mean() for _ in range(resamples)])
    return float(difference.mean()), float((means > 0).mean())
