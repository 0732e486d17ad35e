"""Experiments: what the arms of an experiment did, with intervals that stay valid at every look.

Arrives: `impressions` and `attributions` of the arms. Leaves: a `Report`. Next: the verbs `experiments report` and
`experiments stop`.

A shopper is exposed when an impression carries the variant of an arm. Each arm has two rates: items with a click (as
`monitoring.counts` counts clicks), and items with a purchase, for each shown item. The difference of an arm from the
control is clustered by shopper, because one shopper's clicks are similar.

The intervals are those of `training.evaluation.sequential`: whoever looks every day and stops at the first clear
difference is wrong in 5 % of the experiments at most. Rejected libraries: confseq has no wheels and its last release is
of 2023; savvi brings a solver for convex problems for a sum of logarithms.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import inf, isfinite, lgamma, log
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection

from monitoring.shopper_sums import shopper_sums
from serving.experiments import STOPPED, Experiment, get, stop
from training.evaluation.sequential import (
    ClusterSums,
    Estimate,
    Interval,
    always_valid,
    p_value,
    ratio_difference,
)

ALPHA = 0.05
RATIO_ALPHA = 0.01
"""A sample ratio with a smaller p-value is a fault: at most one healthy experiment of a hundred shows one."""
RATIO_WEIGHT = 100.0
"""Weight of the prior of the sample-ratio test. Shares that are wrong by about a tenth are found soonest."""
SCALES = (0.0005, 0.002, 0.008, 0.032, 0.128, 0.512)
"""Differences of rates for which an interval is made narrow. A small shop can only see large ones, a large shop small
ones, so the evidence is the mean over all of them. It costs less than a fifth of the best width."""
WIDEST_ERRORS = 100.0

Verdict = Literal["better", "worse", "not clear"]


@dataclass(frozen=True)
class Difference:
    """A rate of an arm minus that of the control, with an always-valid interval. Infinite ends are None."""

    rate: float
    difference: float
    low: float | None
    high: float | None
    p_value: float
    verdict: Verdict


@dataclass(frozen=True)
class ArmReport:
    """What one arm did. The differences of the control are missing."""

    name: str
    share: float
    shoppers: int
    items: int
    clicks: int
    purchases: int
    differences: dict[str, Difference]
    """By rate: ctr, conversion."""


@dataclass(frozen=True)
class Report:
    """The state of an experiment. `sample_ratio_p` is small when the shoppers do not divide as the shares say."""

    name: str
    slot: str | None
    status: str
    start: int
    end: int
    arms: list[ArmReport]
    sample_ratio_p: float

    @property
    def sample_ratio_fault(self) -> bool:
        """Return whether the shoppers divide otherwise than by chance, so that no figure can be trusted."""
        return self.sample_ratio_p < RATIO_ALPHA

    def told(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return {**asdict(self), "sample_ratio_fault": self.sample_ratio_fault}


def report(connection: Connection, experiment: Experiment, *, now: int) -> Report:
    """Return what the arms did until they were stopped, or until `now` (epoch ms)."""
    end = experiment.stopped_at or now
    every_model = dict.fromkeys(experiment.variants())
    sums = shopper_sums(connection, every_model, start=experiment.started_at, end=end)
    arms = []
    control = sums[experiment.variants()[0]]
    for arm, variant in zip(experiment.arms, experiment.variants(), strict=True):
        mine = sums[variant]
        differences = {}
        if variant != experiment.variants()[0]:
            alpha = ALPHA / (len(experiment.arms) - 1)
            differences = {name: _difference(mine[name], control[name], alpha=alpha) for name in mine}
        clicks, purchases = mine["ctr"], mine["conversion"]
        counts = (clicks.clusters, round(clicks.bottom), round(clicks.top), round(purchases.top))
        arms.append(ArmReport(arm.name, arm.share, *counts, differences))
    ratio = sample_ratio_p([arm.shoppers for arm in arms], [arm.share for arm in arms])
    return Report(experiment.name, experiment.slot, experiment.status, experiment.started_at, end, arms, ratio)


def stop_with_report(connection: Connection, name: str, *, now: int) -> Report:
    """Stop the experiment, keep the last report with it, and return the report.

    Raises `UnknownExperiment`, `RefusedExperiment`.
    """
    known = get(connection, name)
    found = report(connection, replace(known, status=STOPPED, stopped_at=now), now=now)
    stop(connection, name, now=now, outcome=found.told())
    return found


def sample_ratio_p(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Return the always-valid p-value that the shoppers were divided by these shares, valid at every look.

    The e-value is the likelihood of the counts under a Dirichlet prior around the shares, divided by that under the
    shares. Source: Lindon & Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022.
    """
    total = sum(shares)
    prior = [RATIO_WEIGHT * share / total for share in shares]
    log_e = lgamma(RATIO_WEIGHT) - lgamma(RATIO_WEIGHT + sum(counts))
    for count, weight, share in zip(counts, prior, shares, strict=True):
        log_e += lgamma(weight + count) - lgamma(weight) - count * log(share / total)
    return p_value(log_e)


def interval(estimate: Estimate, *, alpha: float) -> Interval:
    """Return an always-valid interval that needs no guess of the size of the difference.

    The e-value against a value is the mean of the e-values for each of `SCALES`. A mean of e-values is one, too. The
    interval holds the values whose e-value is below 1 / alpha.
    """
    if not isfinite(estimate.standard_error) or estimate.standard_error <= 0:
        return Interval(-inf, inf, 0.0)
    below, above = 0.0, WIDEST_ERRORS * estimate.standard_error
    while above - below > 1e-3 * estimate.standard_error:
        middle = (below + above) / 2
        if _log_e_value(middle, estimate.standard_error) < -log(alpha):
            below = middle
        else:
            above = middle
    return Interval(
        estimate.value - above, estimate.value + above, _log_e_value(estimate.value, estimate.standard_error)
    )


def _log_e_value(value: float, error: float) -> float:
    found = [always_valid(Estimate(value, error), alpha=ALPHA, expected=scale).log_e_value for scale in SCALES]
    return float(np.logaddexp.reduce(found)) - log(len(SCALES))


def _difference(mine: ClusterSums, control: ClusterSums, *, alpha: float) -> Difference:
    estimate = ratio_difference(mine, control)
    found = interval(estimate, alpha=alpha)
    verdict: Verdict = "better" if found.low > 0 else "worse" if found.high < 0 else "not clear"
    return Difference(
        mine.ratio().value,
        estimate.value,
        found.low if isfinite(found.low) else None,
        found.high if isfinite(found.high) else None,
        p_value(found.log_e_value),
        verdict,
    )
