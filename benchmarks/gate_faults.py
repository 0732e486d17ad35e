"""Gate faults: broken challengers of either kind, through the real guards and the real gate.

Arrives: a synthetic shop. Leaves: how many challengers were tried and promoted. Next: `benchmarks.gate`.

The champion is a closed-form model that knows everything before the test window. A challenger is the same model with
one fault. It is tried as an update and as a structural change, with several parts of the window's users.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.shop_log import LogSize, synthetic_log
from graphstore.arrays import IntArray
from graphstore.catalogue import Catalogue
from training.baselines.gate import RECENT_POPULARITY, RecentPopularity
from training.config import TrainingConfig
from training.data.dataset import Dataset, TimeSplit
from training.data.event_log import EventLog
from training.data.windows import Window
from training.evaluation.ranking import CUTOFFS, Evaluation, Scorer, evaluate_lists, recommend
from training.lifecycle.gate import Change, Contestants, Evidence, decide
from training.lifecycle.guards import Opponent, inspect
from training.lifecycle.registry import CHAMPION
from training.lifecycle.trial import TrialResult
from training.models.candidate import Candidate
from training.options import TrainingOptions
from training.terms.filter_bank import FilterBank
from training.terms.linear_filter import LinearFilter
from training.terms.trend import Trend

SHOP = LogSize(edges=40_000, users=5_000, items=1_500)
DRAWS = 3
"""Parts of the window's users for each fault, kind and number of users."""
ALPHA = 0.05
CHANGES: tuple[Change, ...] = ("refresh", "structural")


@dataclass(frozen=True)
class Changed(Candidate):
    """A candidate whose scores are changed after the sum."""

    change: Callable[[Tensor], Tensor] = torch.clone

    def __call__(self, histories: Any, *, as_of: Any) -> Tensor:
        return self.change(super().__call__(histories, as_of=as_of))


class BrokenChallengers:
    """A shop with a sound champion, and all faults."""

    def __init__(self, *, seed: int) -> None:
        self.log = synthetic_log(SHOP, seed=seed)
        self.rng = np.random.default_rng(seed)
        first, validation, test = (int(self.log.times[int(len(self.log) * share)]) for share in (0.4, 0.7, 0.8))
        self.split = TimeSplit(validation=validation, test=test)
        self.first = first
        self.champion = self._fitted(self.log, validation, test)
        self.window = Window.cut(self.log, start=test, repeats=False)
        self.lists: dict[str, tuple[IntArray, bool]] = {}
        self.popularity = RecentPopularity(Trend.fit(self.log.between(end=test), (self.log.span_hours / 16,)))

    @cached_property
    def faults(self) -> dict[str, Candidate]:
        """Each fault with its challenger."""
        items = self.rng.permutation(self.log.num_items)
        labels = self.rng.permutation(len(self.log))
        half = torch.from_numpy(self.rng.permutation(self.log.num_items)[: self.log.num_items // 2])
        future = self._fitted(self.log, *self._cuts)
        future.advance(self.log, self.split.test, None, None)
        return {
            "shuffled labels": self._fitted(replace(self.log, items=self.log.items[labels]), *self._cuts),
            "shuffled ids": self._changed(lambda scores: scores[:, torch.from_numpy(items)]),
            "NaN": self._changed(lambda scores: scores.masked_fill(scores > scores.mean(), torch.nan)),
            "constant": self._changed(torch.ones_like),
            "stale": self._fitted(self.log, int(self.first * 0.9), self.first),
            "times 1e30": self._changed(lambda scores: scores * 1e30),
            "half the catalogue missing": self._changed(lambda scores: scores.index_fill(1, half, -torch.inf)),
            "trained on the future": future,
        }

    def tried(self, users: int) -> Iterator[tuple[str, Change, bool]]:
        """Yield each fault, the kind of change, and whether it was promoted, with so many users in the window."""
        for name, challenger in self.faults.items():
            for draw in range(DRAWS):
                for change in CHANGES:
                    yield name, change, self._promoted(name, challenger, change, users=users, seed=draw)

    def sound(self, users: int) -> bool:
        """Return whether the champion itself passes as an update, so that the gate does not simply keep everything."""
        return self._promoted(CHAMPION, self.champion, "refresh", users=users, seed=0)

    def _promoted(self, name: str, challenger: Candidate, change: Change, *, users: int, seed: int) -> bool:
        trial = self._trial(name, challenger, users=users, seed=seed)
        opponent = Opponent(trial.comparison[CHAMPION], {})
        objections, _ = inspect(trial, opponent, is_update=change == "refresh", min_coverage_ratio=0.5)
        contestants = Contestants(
            trial.evaluation, trial.comparison[RECENT_POPULARITY], champion=trial.comparison[CHAMPION]
        )
        decision = decide(contestants, change, evidence=Evidence(), alpha=ALPHA, objections=objections)
        return decision.verdict == "promoted"

    def _evaluated(self, name: str, scorer: Scorer, rows: IntArray) -> Evaluation:
        """Evaluate on some users of the window. The lists of all users are made once for each name."""
        if name not in self.lists:
            self.lists[name] = recommend(scorer, self.window, k=max(CUTOFFS))
        lists, finite = self.lists[name]
        return evaluate_lists(lists[rows], self.window.take(rows), cutoffs=CUTOFFS, finite=finite)

    @property
    def _cuts(self) -> tuple[int, int]:
        return self.split.validation, self.split.test

    def _fitted(self, log: EventLog, validation: int, test: int) -> Candidate:
        """Fit a closed-form model that knows the events before `test` (epoch ms)."""
        past = log.between(end=validation)
        window = Window.cut(log, start=validation, end=test, repeats=False)
        candidate = Candidate.fitted(
            past,
            window,
            filters=FilterBank([LinearFilter.fit(past)]),
            features=None,
            horizon_ms=test - validation,
            config=TrainingConfig(),
            options=TrainingOptions(seed=0),
        )
        candidate.advance(log, validation, test, None)
        return candidate

    def _changed(self, change: Callable[[Tensor], Tensor]) -> Candidate:
        return Changed(self.champion.terms, self.champion.blend, change)

    def _trial(self, name: str, challenger: Candidate, *, users: int, seed: int) -> TrialResult:
        size, every = self.log.num_items, len(self.window)
        rows = np.sort(np.random.default_rng(seed).choice(every, min(users, every), replace=False))
        nothing = Catalogue(
            titles=[""] * size,
            categories=[[]] * size,
            brands=[""] * size,
            prices=np.full(size, np.nan, dtype=np.float32),
            available=np.ones(size, dtype=np.bool_),
        )
        return TrialResult(
            candidate=challenger,
            dataset=Dataset(self.log, [f"i{row}" for row in range(size)], np.arange(size), nothing),
            split=self.split,
            repeats=False,
            encoder=None,
            features=None,
            window=self.window.take(rows),
            popularity=self.popularity,
            evaluation=self._evaluated(name, challenger, rows),
            comparison={
                RECENT_POPULARITY: self._evaluated(RECENT_POPULARITY, self.popularity, rows),
                CHAMPION: self._evaluated(CHAMPION, self.champion, rows),
            },
            notes=[],
        )
