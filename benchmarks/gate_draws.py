"""Gate draws: windows as real shops have them, with known true effects, and the gate's decisions on them.

Arrives: NDCG@20 of single users in real windows (`gate_differences.json`). Leaves: how often a structural change is
promoted, and what refreshes cost. Next: `benchmarks.gate`.

A drawn window takes users with replacement from a real window, so ties, zeros and large differences are as frequent as
there. The differences of two models are shifted to a mean of zero, then the true effect is added, both only for users
whose lists differ. Effects are relative to the mean NDCG of the shop.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np

from graphstore.arrays import Float64Array
from training.evaluation.ranking import METRIC, Evaluation
from training.lifecycle.gate import Contestants, Evidence, GateDecision, decide

ALPHA = 0.05
TRIES = 100
WINDOWS = 5
FULL_EVERY = 24
"""Updates between two full trainings: one an hour, a full one each night."""
LOSS = 0.02
"""The true loss of each update in a lineage that must be stopped."""

BEFORE_RESAMPLES = 200
BEFORE_CONFIDENCE = 0.9

Policy = Literal["ours", "before", "always", "oracle"]
DIFFERENCES = Path(__file__).with_name("gate_differences.json")


@dataclass(frozen=True)
class Shop:
    """NDCG@20 of the users of real windows, one row a user, each array [U]."""

    model: Float64Array
    """A model that is up to date."""
    settings: Float64Array
    """The same with another setting of the blend, fitted on the same events."""
    previous: Float64Array
    """The model before its last update, as it serves: with the newest histories and trend."""
    anchor: Float64Array
    """The model before all updates, as it serves."""
    popularity: Float64Array

    @classmethod
    def all(cls) -> dict[str, Self]:
        """Return the shops of the file by name."""
        found = json.loads(DIFFERENCES.read_text())["shops"]
        return {name: cls(**{part: np.array(values) for part, values in shop.items()}) for name, shop in found.items()}

    @property
    def mean(self) -> float:
        return float(self.model.mean())


@dataclass(frozen=True)
class Noise:
    """The differences [U] of two models without their mean, and how an effect is spread over the users."""

    values: Float64Array
    spread: Float64Array
    """Has a mean of one, and is zero for users with equal lists."""

    @classmethod
    def of(cls, one: Float64Array, other: Float64Array) -> Self:
        difference = one - other
        spread = (difference != 0) / max(float((difference != 0).mean()), 1e-9)
        return cls(difference - difference.mean() * spread, spread)

    def drawn(self, rows: Float64Array, mean: float) -> Float64Array:
        """Return differences with this true mean."""
        drawn: Float64Array = self.values[rows] + mean * self.spread[rows]
        return drawn


def measured(ndcg: Float64Array) -> Evaluation:
    """Return an evaluation as the gate takes it."""
    users = np.arange(len(ndcg))
    return Evaluation(users, np.zeros(len(ndcg), dtype=np.bool_), {METRIC: ndcg}, coverage=0.5, finite=True)


def before(contestants: Contestants, seed: int) -> bool:
    """Return what the gate did before: the challenger is ahead in 90 % of the resamples of a paired bootstrap."""
    assert contestants.champion is not None
    difference = contestants.challenger.per_user[METRIC] - contestants.champion.per_user[METRIC]
    rng, users = np.random.default_rng(seed), len(difference)
    means = difference[rng.integers(0, users, (BEFORE_RESAMPLES, users))].mean(axis=1)
    return bool(difference.mean() > 0 and (means > 0).mean() >= BEFORE_CONFIDENCE)


# structural changes


def structural(shop: Shop, effect: float, *, users: int, runs: int, seed: int) -> dict[str, float]:
    """Try one change again and again, each time with a new window, until it is promoted.

    Returns the share of promotions in the first window, in five windows, and in a hundred.
    """
    noise = Noise.of(shop.settings, shop.model)
    first = [_first_promotion(shop, noise, effect, users, np.random.default_rng([seed, run])) for run in range(runs)]
    tries = np.array([found or np.inf for found in first])
    return {
        "per_try": float((tries <= 1).mean()),
        "any_of_100": float((tries <= TRIES).mean()),
        "within_5_windows": float((tries <= WINDOWS).mean()),
    }


def _first_promotion(shop: Shop, noise: Noise, effect: float, users: int, rng: np.random.Generator) -> int | None:
    evidence = Evidence()
    for attempt in range(1, TRIES + 1):
        rows = rng.integers(0, len(shop.model), users)
        champion = shop.model[rows]
        contestants = Contestants(
            challenger=measured(champion + noise.drawn(rows, effect * shop.mean)),
            champion=measured(champion),
            popularity=measured(shop.popularity[rows]),
        )
        decision = decide(contestants, "structural", evidence=evidence, alpha=ALPHA)
        if decision.action != "keep":
            return attempt if decision.verdict == "promoted" else None
        evidence = decision.evidence
    return None


# refreshes


def true_changes(rng: np.random.Generator, steps: int) -> Float64Array:
    """Return the true relative change of each update: most gain, some lose, a few lose or gain much.

    Nine of ten are normal with mean 1 % and deviation 1.5 %. The rest have heavy tails around zero.
    """
    usual = rng.normal(0.01, 0.015, steps)
    rare = 0.04 * rng.standard_t(2.5, steps)
    changes: Float64Array = np.where(rng.random(steps) < 0.1, rare, usual).clip(-0.6, 0.4)
    return changes


@dataclass
class Lineage:
    """The true NDCG of what serves, relative to the last full model, and the gate's evidence."""

    level: float
    evidence: Evidence

    @classmethod
    def new(cls) -> Self:
        return cls(1.0, Evidence())


class Refreshes:
    """Draws windows for the updates of one shop."""

    def __init__(self, shop: Shop, users: int) -> None:
        self.shop, self.users = shop, users
        self.step = Noise.of(shop.model, shop.previous)
        self.lineage = Noise.of(shop.model, shop.anchor)

    def window(self, rng: np.random.Generator, champion: float, challenger: float) -> Contestants:
        """Draw a window. `champion` and `challenger` are their true levels."""
        shop = self.shop
        rows = rng.integers(0, len(shop.model), self.users)
        ndcg = shop.model[rows] * challenger
        return Contestants(
            challenger=measured(ndcg),
            champion=measured(ndcg - self.step.drawn(rows, (challenger - champion) * shop.mean)),
            anchor=measured(ndcg - self.lineage.drawn(rows, (challenger - 1.0) * shop.mean)),
            popularity=measured(shop.popularity[rows]),
        )

    def regret(self, *, runs: int, seed: int) -> dict[str, float]:
        """Return the NDCG lost against an oracle gate, as a share of the last full model's, for each gate.

        The oracle knows the true change of each update. All gates see the same true changes and the same users. A full
        training begins a new lineage at its level.
        """
        lost: dict[Policy, list[float]] = {"ours": [], "before": [], "always": []}
        for run in range(runs):
            rng = np.random.default_rng([seed, run])
            changes = true_changes(rng, TRIES)
            levels: dict[Policy, list[float]] = {}
            for policy in (*lost, "oracle"):
                levels[policy] = self._replay(policy, changes, seed=[seed, run, 1])
            for policy in lost:
                lost[policy].append(float(np.mean(np.array(levels["oracle"]) - levels[policy])))
        return {policy: float(np.mean(values)) for policy, values in lost.items()}

    def _replay(self, policy: Policy, changes: Float64Array, *, seed: Sequence[int]) -> list[float]:
        rng, lineage, levels = np.random.default_rng(seed), Lineage.new(), []
        for step, change in enumerate(changes):
            if step % FULL_EVERY == 0:
                lineage = Lineage.new()
            challenger = lineage.level * (1 + change)
            window_seed = int(rng.integers(2**32))
            gains = bool(change > 0)
            if policy in ("always", "oracle"):
                lineage = Lineage(challenger, Evidence()) if gains or policy == "always" else lineage
            else:
                contestants = self.window(np.random.default_rng(window_seed), lineage.level, challenger)
                lineage = self._judged(policy, lineage, challenger, contestants, seed=window_seed)
            levels.append(lineage.level)
        return levels

    def _judged(
        self, policy: Policy, lineage: Lineage, challenger: float, contestants: Contestants, *, seed: int
    ) -> Lineage:
        if policy == "before":
            return Lineage(challenger, Evidence()) if before(contestants, seed) else lineage
        decision = decide(contestants, "refresh", evidence=lineage.evidence, alpha=ALPHA)
        return after(decision, lineage, challenger, self.shop)

    def lost_before_stop(self, *, runs: int, seed: int) -> float:
        """Return what a lineage has lost that truly loses 2 % a step, when the gate goes back to the full model."""
        lost = []
        for run in range(runs):
            rng, lineage = np.random.default_rng([seed, run]), Lineage.new()
            for _ in range(TRIES):
                challenger = lineage.level * (1 - LOSS)
                contestants = self.window(rng, lineage.level, challenger)
                decision = decide(contestants, "refresh", evidence=lineage.evidence, alpha=ALPHA)
                if decision.action in ("anchor", "popularity"):
                    break
                lineage = after(decision, lineage, challenger, self.shop)
            lost.append(1 - lineage.level)
        return float(np.mean(lost))


def after(decision: GateDecision, lineage: Lineage, challenger: float, shop: Shop) -> Lineage:
    """Return the lineage after a decision. Back at the full model, a new lineage begins."""
    match decision.action:
        case "promote":
            return Lineage(challenger, decision.evidence)
        case "keep":
            return Lineage(lineage.level, decision.evidence)
        case "anchor":
            return Lineage.new()
        case "popularity":
            return Lineage(float(shop.popularity.mean()) / shop.mean, Evidence())
