"""Gate: decides whether a challenger replaces the champion.

Arrives: evaluations of the contestants on one window that none of them was fitted on, and the evidence of earlier
windows. Leaves: a verdict with its reasons, and the evidence after this window. Next: `training.lifecycle.run` acts on
it, `training.lifecycle.lineage` stores the evidence. The gate uses no clock, no database and no chance.

The burden of proof follows the kind of change:

- A *structural* change (another kind of model, other settings, a person's model) must be shown to be better. Its
  evidence is pooled over the windows in which the same change met the same champion.
- A *refresh* (the same settings, more events) is fresher by nature. It is promoted unless it is shown to harm: in this
  window against the champion, or over the windows of its lineage against the lineage's last full model, its anchor. So
  a chain of small losses ends, although no single one can be seen.

Nothing below recent popularity is promoted. Where the champion is shown to be below it, popularity serves.

The tests are wagers (`training.evaluation.sequential`), which allow a look after every window. Rejected: a paired
bootstrap with 90 % of the resamples for every change. A model that is no better passes it sooner or later, and a
refresh that gains a little is kept, because one window is too small to show the gain (`benchmarks/gate.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import exp
from typing import Any, Literal, Self

import numpy as np

from graphstore.arrays import Float64Array
from training.evaluation.ranking import METRIC, Evaluation
from training.evaluation.sequential import Wager

REFRESH_ALPHA = 0.2
"""The level at which a refresh is kept because of one window. An error only delays the update until the next one, so
the level is less strict than that of the lineage. Measured with true changes as updates have them: at 0.05 the NDCG
lost against an oracle is up to a quarter larger; a usual test at 5 % loses more than it finds with 30 shoppers."""

Change = Literal["structural", "refresh"]

Action = Literal["promote", "keep", "anchor", "popularity"]
"""What serves next: the challenger, the champion, the lineage's last full model, or recent popularity."""


@dataclass(frozen=True)
class Contestants:
    """The evaluations on one window."""

    challenger: Evaluation
    popularity: Evaluation
    champion: Evaluation | None = None
    """None: there is no champion."""
    anchor: Evaluation | None = None
    """The lineage's last full model. None: the champion is one itself."""


@dataclass(frozen=True)
class Evidence:
    """The wagers after the last window. A new champion by a structural change begins with new ones."""

    gain: Wager = field(default_factory=lambda: Wager(later=False))
    """That the structural change is better than the champion."""
    harm: Wager = field(default_factory=Wager)
    """That the lineage is worse than its anchor."""
    behind: Wager = field(default_factory=Wager)
    """That the lineage's champion is worse than recent popularity."""

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name).to_json() for name in ("gain", "harm", "behind")}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Self:
        return cls(**{name: Wager.from_json(state[name]) for name in ("gain", "harm", "behind")})


@dataclass(frozen=True)
class GateDecision:
    """The verdict. `reasons` are sentences for people: the reason of a promotion, or all reasons against it."""

    verdict: Literal["promoted", "kept"]
    """Of the challenger."""
    action: Action
    reasons: list[str]
    evidence: Evidence


def decide(
    contestants: Contestants,
    change: Change,
    *,
    evidence: Evidence,
    alpha: float,
    fresh: Contestants | None = None,
    objections: Sequence[str] = (),
    popularity_serves: bool = False,
) -> GateDecision:
    """Decide what serves next.

    Args:
        contestants: The evaluations, all on the same users.
        change: The kind of the change. Without a champion it has no effect.
        evidence: The wagers after the earlier windows.
        alpha: The largest probability of each error, over all windows: a structural change that is no better is
            promoted; a lineage that does no harm ends; popularity replaces a champion that is not below it.
        fresh: The same contestants, measured on the targets that the evidence does not count yet. None: on all.
        objections: Reasons of `training.lifecycle.guards` against the challenger.
        popularity_serves: Whether the champion is recent popularity itself. It goes on, with the newest events, until a
            model wins.

    Raises `ValueError` when the users differ.
    """
    challenger, champion = contestants.challenger, contestants.champion
    against = list(objections)
    if not challenger.finite:
        against.append("some scores are not finite")
    margin = _difference(challenger, contestants.popularity)
    if not (len(margin) and margin.mean() >= 0):
        against.append(f"{METRIC} {_mean(margin):+.4f} against recent popularity, in {len(margin)} users")
    if champion is None:
        return _first(against, margin, evidence)
    compared = f"{METRIC} {_mean(gain := _difference(challenger, champion)):+.4f} against the champion"
    compared += f" in {len(gain)} users"
    judged = fresh or contestants
    assert judged.champion is not None
    if not popularity_serves:
        behind = evidence.behind.add(_difference(judged.popularity, judged.champion))
        evidence = replace(evidence, behind=behind)
    if change == "structural":
        gain = _difference(judged.challenger, judged.champion)
        decision = _structural(against, gain, compared, evidence, alpha)
    else:
        decision = _refresh(against, judged, compared, evidence, alpha)
    if decision.action != "promote" and popularity_serves:
        return replace(decision, action="popularity", reasons=[*decision.reasons, "recent popularity goes on"])
    if decision.action != "promote" and evidence.behind.shows(alpha):
        fallen = f"the champion is below recent popularity beyond chance, in {evidence.behind.windows} windows"
        return replace(decision, action="popularity", reasons=[*decision.reasons, fallen])
    return decision


def _first(against: list[str], margin: Float64Array, evidence: Evidence) -> GateDecision:
    """Promote the first model unless something is against it. Then popularity is the first champion.

    Popularity can do little harm, so this holds for few users, too: they cannot show that a model is better, but which
    of the two is ahead is the best guess, and a later window corrects it.
    """
    if against:
        return GateDecision("kept", "popularity", [*against, "there was no champion: popularity serves"], evidence)
    ahead = f"{METRIC} {_mean(margin):+.4f} against recent popularity"
    return GateDecision("promoted", "promote", ["there was no champion", ahead], evidence)


def _structural(
    against: list[str], gain: Float64Array, compared: str, evidence: Evidence, alpha: float
) -> GateDecision:
    """Promote what is better beyond chance.

    A window counts also when something is against the challenger: only windows with a loss would be left out.
    """
    evidence = replace(evidence, gain=evidence.gain.add(gain))
    sure = _odds(evidence.gain, alpha)
    if not against and evidence.gain.shows(alpha):
        return GateDecision("promoted", "promote", [f"{compared}; better beyond chance, {sure}"], evidence)
    if not against:
        against = [f"{compared}; not shown to be better, {sure}"]
    return GateDecision("kept", "keep", against, evidence)


def _refresh(
    against: list[str], contestants: Contestants, compared: str, evidence: Evidence, alpha: float
) -> GateDecision:
    """Promote what is not shown to harm."""
    assert contestants.champion is not None
    now = Wager(later=False).add(_difference(contestants.champion, contestants.challenger))
    if now.shows(REFRESH_ALPHA):
        against.append(f"{compared}; worse beyond chance, {_odds(now, REFRESH_ALPHA)}")
    if against:  # neither in the lineage nor in its evidence, which only makes a false alarm of the lineage rarer
        return GateDecision("kept", "keep", against, evidence)
    anchor = contestants.anchor or contestants.champion
    harm = evidence.harm.add(_difference(anchor, contestants.challenger))
    evidence = replace(evidence, harm=harm)
    if harm.shows(alpha):
        lost = f"the lineage is worse than its last full model beyond chance, {_odds(harm, alpha)}"
        return GateDecision("kept", "anchor", [f"{compared}; {lost}"], evidence)
    return GateDecision("promoted", "promote", [f"{compared}; no harm shown, {_odds(harm, alpha)}"], evidence)


def _difference(one: Evaluation, other: Evaluation) -> Float64Array:
    if not np.array_equal(one.users, other.users):
        raise ValueError("the two models were not measured on the same users")
    return one.per_user[METRIC] - other.per_user[METRIC]


def _mean(values: Float64Array) -> float:
    return float(values.mean()) if len(values) else 0.0


def _odds(wager: Wager, alpha: float) -> str:
    """Return the evidence of a wager and what is needed, as a person reads them."""
    windows = f"{wager.windows} windows" if wager.windows != 1 else "one window"
    return f"evidence {exp(min(wager.log_e_value, 700.0)):.3g} in {windows}, {1 / alpha:.3g} shows it"
