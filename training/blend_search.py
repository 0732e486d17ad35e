"""The blend search: which filters, which memories and how tight a blend, compared out of fold on a validation window.

Arrives: an `EvaluationSplit`. Leaves: a filter bank, blends of any terms. Next: `training.model_search`.

A likelihood fitted on some users and judged on others cannot be bought by more weights, and a window of a hundred users
carries few of them: so the memories of the bank and the penalty on the weights are chosen, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Self

import numpy as np
import numpy.typing as npt

from graphstore.tables import HOUR_MS
from training.blend import Blend, BlendSettings, fit_blend, fitting_part
from training.candidate import Candidate
from training.evaluate import METRIC, Window, evaluate
from training.filter_bank import HALF_LIVES, FilterBank
from training.histories import EventLog
from training.linear_filter import FilterSettings, LinearFilter
from training.repeat import PersonalRepeat
from training.splits import SEARCH_USERS, EvaluationSplit
from training.terms import Term
from training.trend import Trend

REGULARISATIONS = (2.0, 6.0, 20.0, 60.0)
MEMORIES = (HALF_LIVES, (5.0,), (50.0,), (inf,))
"""Half-lives of the bank: all at once, or a single one where the window is too small for so many weights."""

DRIFT_SPAN_SHARE = 8.0
"""Half-life of a second filter's Gram matrix, as a divisor of the time that the past spans."""

TREND_SPAN_SHARES = ((4.0, 16.0), (16.0,))
"""Fewer half-lives than the trend's own, as divisors of the time that the past spans; infinity beside them."""

L2 = (0.1, 0.02, 0.005, 0.001)
FIRST_L2 = 0.005


@dataclass(frozen=True)
class BlendSearch:
    """What all comparisons share."""

    split: EvaluationSplit
    window: Window
    others: list[Trend | PersonalRepeat]
    """Every term but the filters and GraphSAGE, fitted on the past; the trend first."""
    memory_mb: int
    seed: int

    @classmethod
    def of(cls, split: EvaluationSplit, *, memory_mb: int, seed: int) -> Self:
        others: list[Trend | PersonalRepeat] = [Trend.fit(split.past, None if split.timed else (inf,))]
        if split.test.repeats:
            others.append(PersonalRepeat.fit(split.past))
        return cls(split, split.validation.sample(SEARCH_USERS, seed=seed), others, memory_mb, seed)

    def best_bank(self) -> FilterBank:
        """A regularisation, the memories, and a second filter that forgets: one after the other; fitted on the past."""
        base = LinearFilter.fit(self.split.past, FilterSettings(regularisation=REGULARISATIONS[0]))
        variants = [base, *(base.variant(regularisation=value) for value in REGULARISATIONS[1:])]
        memories = MEMORIES if self.split.timed else ((inf,),)
        scores = [self._with_bank([one], memories[0]) for one in variants]
        chosen = variants[int(np.argmax(scores))]
        scores = [max(scores), *(self._with_bank([chosen], lives) for lives in memories[1:])]
        half_lives = memories[int(np.argmax(scores))]
        filters = [chosen]
        if self.split.timed:
            settings = FilterSettings(
                regularisation=chosen.settings.regularisation,
                gram_half_life_ms=self.split.past.span_hours * HOUR_MS / DRIFT_SPAN_SHARE,
            )
            drifting = LinearFilter.fit(self.split.past, settings)
            if self._with_bank([chosen, drifting], half_lives) > max(scores):
                filters.append(drifting)
        return FilterBank(filters, half_lives)

    def with_best_trend(self, bank: FilterBank) -> Self:
        """The same search with as many half-lives of the trend as the window can weigh."""
        if not self.split.timed:
            return self
        hours = self.split.past.span_hours
        fewer = [(*(hours / share for share in shares), inf) for shares in TREND_SPAN_SHARES]
        variants = [self] + [
            replace(self, others=[Trend.fit(self.split.past, lives), *self.others[1:]]) for lives in fewer
        ]
        return max(variants, key=lambda one: float(one.out_of_fold([bank, *one.others], FIRST_L2).mean()))

    def _with_bank(self, filters: Sequence[LinearFilter], half_lives: tuple[float, ...]) -> float:
        return float(self.out_of_fold([FilterBank(filters, half_lives), *self.others], FIRST_L2).mean())

    def out_of_fold(self, terms: Sequence[Term], l2: float) -> npt.NDArray[np.float64]:
        """NDCG@20 [U] of each user of the window under a blend that was fitted on the other half of the users."""
        halves = np.random.default_rng(self.seed).permutation(len(self.window)) % 2
        ndcg = np.zeros(len(self.window))
        for half in (0, 1):
            learnt, judged = np.flatnonzero(halves != half), np.flatnonzero(halves == half)
            if len(learnt) and len(judged):
                blend = self._fitted(terms, self.window.picked(learnt), BlendSettings(l2=l2, unknown_l2=l2))
                ndcg[judged] = evaluate(Candidate(list(terms), blend), self.window.picked(judged)).per_user[METRIC]
        return ndcg

    def best_l2(self, terms: Sequence[Term]) -> BlendSettings:
        """For shoppers with a past and for those without, each by its own users."""
        stranger = self.window.lengths() == 0
        found = {l2: self.out_of_fold(terms, l2) for l2 in L2}

        def best(users: npt.NDArray[np.bool_]) -> float:
            return max(L2, key=lambda l2: float(found[l2][users].mean())) if users.any() else FIRST_L2

        return BlendSettings(l2=best(~stranger), unknown_l2=best(stranger))

    def blend(self, terms: Sequence[Term], settings: BlendSettings) -> Blend:
        """Fitted on as many users of the validation window as the memory holds."""
        return self._fitted(terms, self.split.validation, settings)

    def _fitted(self, terms: Sequence[Term], window: Window, settings: BlendSettings) -> Blend:
        part = fitting_part(terms, window, memory_mb=self.memory_mb, seed=self.seed)
        return fit_blend(terms, part, settings=settings)

    def others_again(self, log: EventLog) -> list[Term]:
        """The closed-form terms beside the filters, their half-lives kept, on more events."""
        return [type(term).fit(log, term.half_lives_hours) for term in self.others]
