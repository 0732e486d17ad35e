"""Lineage: which kind of change a run makes, against which anchor, with which evidence of earlier windows.

Arrives: the registry's rows. Leaves: `Lineage` for one run, which asks the gate and stores the new evidence in the
model's row. Next: `training.lifecycle.run` acts on the decision.

A lineage is a full model, its anchor, and the updates that came after it. `models.anchor_version` names the anchor of
an update, `models.settings_hash` the settings of its full model. The evidence is in the column `gate` of every model
that was judged, promoted or not, so the newest row of a question holds all of it. A question is the kind of change
against one anchor, and for a structural change also its settings.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from graphstore.tables import models
from training.baselines.gate import RECENT_POPULARITY
from training.config import TrainingConfig, TrainingFile
from training.data.windows import Window
from training.evaluation.ranking import CUTOFFS, Evaluation, evaluate, evaluate_lists
from training.lifecycle import registry
from training.lifecycle.gate import Change, Contestants, Evidence, GateDecision, decide
from training.lifecycle.retrain import data_time
from training.lifecycle.trial import TrialResult, as_served
from training.models.bundle import load_bundle
from training.models.popularity_model import POPULARITY

PEOPLE = ("command line", "playground")
"""The triggers of runs that a person started."""

UNSHAPING = {"training_seed", "evaluation_users", "tuning_users", "blend_memory_mb"}
"""Settings of the training file that make no other kind of model."""


@dataclass(frozen=True)
class Lineage:
    """What the gate must know of the past of a run."""

    change: Change
    settings_hash: str
    """Of the settings of this run, or for an update of its full model."""
    is_update: bool = False
    """Whether the run updates the champion. Else it fits a full model."""
    champion: registry.ModelRow | None = None
    anchor: registry.ModelRow | None = None
    """The full model that the champion was updated from. None: the champion is one, or there is no champion."""
    evidence: Evidence = field(default_factory=Evidence)
    over_aged: bool = False
    """Whether the champion's newest event is older than allowed. Then a model that is not shown to harm replaces it."""
    until: int = 0
    """The evidence counts events before this time (epoch ms). A target counts once, also where windows overlap."""

    @property
    def full_version(self) -> str | None:
        """The version of the champion's last full model. Without a champion, None."""
        full = self.anchor or self.champion
        return full.model_version if full else None

    @property
    def against(self) -> str | None:
        """What the evidence is against: the full model, or `POPULARITY`, which has a new version after each run."""
        return POPULARITY if self.popularity_serves else self.full_version

    @property
    def popularity_serves(self) -> bool:
        """Whether the champion is recent popularity."""
        return self.champion is not None and self.champion.kind == POPULARITY

    def judge(self, trial: TrialResult, *, alpha: float, objections: list[str]) -> GateDecision:
        """Ask the gate about the trial's candidate. The evidence grows by the targets that it does not count yet."""
        popularity = trial.comparison[RECENT_POPULARITY]
        contestants = Contestants(
            challenger=trial.evaluation,
            popularity=popularity,
            # A trial may fit the champion's terms again, with other weights. Popularity is the baseline itself.
            champion=popularity if self.popularity_serves else trial.comparison.get(registry.CHAMPION),
            anchor=self._anchor_evaluation(trial),
        )
        fresh = None
        if self.until > trial.split.test:
            window = _later_targets(trial, self.until)
            parts = {name: value and _on(value, window) for name, value in vars(contestants).items()}
            fresh = Contestants(**parts)
        decision = decide(
            contestants,
            "refresh" if self.over_aged else self.change,
            evidence=self.evidence,
            alpha=alpha,
            fresh=fresh,
            objections=objections,
            popularity_serves=self.popularity_serves,
        )
        if self.over_aged and self.change == "structural":
            why = "the champion is older than allowed, so a model that does no harm replaces it"
            return replace(decision, reasons=[*decision.reasons, why])
        return decision

    def _anchor_evaluation(self, trial: TrialResult) -> Evaluation | None:
        """Evaluate the anchor of an update as it would serve. A full model of a refresh is its own anchor."""
        if self.anchor is None or not self.is_update:
            return None
        anchor = load_bundle(Path(self.anchor.bundle))
        return evaluate(as_served(anchor, trial.dataset, trial.split.test), trial.window)

    def memory(self, decision: GateDecision, *, until: int) -> dict[str, Any]:
        """Return what the row of the judged model keeps for the next run, as JSON."""
        return {
            "change": self.change,
            "against": self.against,
            "action": decision.action,
            "evidence": decision.evidence.to_json(),
            "until": until,
        }


def lineage_of(
    connection: Connection,
    champion: registry.ModelRow | None,
    *,
    kind: registry.Kind,
    trigger: str,
    config: TrainingConfig,
    now: int,
) -> Lineage:
    """Return the lineage of a run that starts at the time `now` (epoch ms)."""
    own = settings_hash(kind, config)
    if champion is None:
        return Lineage("structural", own)
    update = kind == "incremental"
    settings = champion.settings_hash or own if update else own
    same = (update or settings == champion.settings_hash) and champion.kind != POPULARITY
    change: Change = "refresh" if same and trigger not in PEOPLE else "structural"
    anchor = registry.get_model(connection, champion.anchor) if champion.anchor else None
    if anchor is not None and (anchor.banned_at or anchor.pruned_at):
        anchor = None  # it cannot serve again, so the champion is what updates are measured against
    lineage = Lineage(
        change,
        settings,
        is_update=update,
        champion=champion,
        anchor=anchor,
        over_aged=now - data_time(connection, champion) >= config.champion_max_age_seconds * 1000,
    )
    known = _memory(connection, lineage)
    if known is None:
        return lineage
    evidence = Evidence.from_json(known["evidence"])
    if known["action"] == "anchor":  # harm was shown and the anchor serves again: the next updates begin anew
        evidence = Evidence()
    return replace(lineage, evidence=evidence, until=int(known["until"]))


def settings_hash(kind: str, config: TrainingConfig) -> str:
    """Return a hash of the kind of model and of the settings that shape it."""
    shaping = config.model_dump_json(include={*TrainingFile.model_fields} - UNSHAPING)
    return hashlib.sha256(f"{kind} {shaping}".encode()).hexdigest()


def _memory(connection: Connection, lineage: Lineage) -> dict[str, Any] | None:
    """Return what the newest model that answers the same question keeps, or None."""
    full = lineage.anchor or lineage.champion
    since = 0 if full is None or lineage.popularity_serves else full.created_at
    query = select(models.c.gate, models.c.settings_hash).where(models.c.created_at >= since)
    for row in connection.execute(query.order_by(models.c.created_at.desc(), models.c.model_version.desc())):
        memory: dict[str, Any] = json.loads(row.gate).get("memory", {})
        same = lineage.change == "refresh" or row.settings_hash == lineage.settings_hash
        if same and memory.get("against") == lineage.against and memory["change"] == lineage.change:
            return memory
    return None


def _later_targets(trial: TrialResult, since: int) -> Window:
    """Return the part of the test window with the users and targets since a time (epoch ms)."""
    log = trial.dataset.log
    later = Window.after(
        log.between(end=since), log.between(start=since), as_of=trial.split.test, repeats=trial.repeats
    )
    return later.take(np.flatnonzero(np.isin(later.users, trial.evaluation.users)))


def _on(evaluation: Evaluation, window: Window) -> Evaluation:
    """Return the measures of the same lists for the users and targets of `window`, a part of the evaluated one."""
    lists = evaluation.lists[np.searchsorted(evaluation.users, window.users)]
    return evaluate_lists(lists, window, cutoffs=CUTOFFS, finite=evaluation.finite)
