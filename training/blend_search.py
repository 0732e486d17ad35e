"""The blend search: which filters, which memories and how tight a blend, compared out of fold on a validation window.

Arrives: an `EvaluationSplit`. Leaves: a filter bank, blends of any terms. Next: `training.model_search`.

A likelihood fitted on some users and judged on others cannot be bought by more weights, and a window of a hundred users
carries few of them: so the memories of the bank and the penalty on the weights are chosen, too.

Tried and left: a second fit on each user's best hundred or three hundred items alone, nearer to what a list shows, is
no better than the whole catalogue once GraphSAGE and content stand in the sum; and the simplest variant within one
standard error of the best (Breiman et al., 1984) costs up to 7 %, because one target a user makes the errors wide.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Self

import numpy as np
import numpy.typing as npt
from torch import Tensor

from graphstore.tables import HOUR_MS
from training.blend import Blend, BlendSettings, fit_blend, fitting_part
from training.candidate import Candidate
from training.content import Content
from training.evaluate import METRIC, Window, evaluate
from training.filter_bank import HALF_LIVES, FilterBank
from training.histories import EventLog
from training.linear_filter import FilterSettings, LinearFilter
from training.repeat import PersonalRepeat
from training.splits import SEARCH_USERS, EvaluationSplit
from training.terms import Term
from training.trend import Trend

FloatArray = npt.NDArray[np.float64]

REGULARISATIONS = (2.0, 6.0, 20.0, 60.0)
MEMORIES = ((50.0,), (5.0,), (inf,), HALF_LIVES)
"""Half-lives of the bank: a single one where the window is too small for the weights of all at once."""

DRIFT_SPAN_SHARE = 8.0
"""Half-life of a second filter's Gram matrix, as a divisor of the time that the past spans."""

TREND_SPAN_SHARES = ((16.0,), (4.0, 16.0))
"""Fewer half-lives than the trend's own, as divisors of the time that the past spans; infinity beside them."""

CONTENT_MEMORIES = ((20.0,), (5.0, inf))
"""Half-lives of content's profile; or no content at all."""

L2 = (0.1, 0.02, 0.005, 0.001)
"""From the tightest blend to the loosest."""

FIRST_L2 = 0.005


@dataclass(frozen=True)
class BlendSearch:
    """What all comparisons share."""

    split: EvaluationSplit
    window: Window
    others: list[Trend | PersonalRepeat | Content]
    """Every term but the filters and GraphSAGE, fitted on the past; the trend first."""
    memory_mb: int
    seed: int

    @classmethod
    def of(cls, split: EvaluationSplit, *, memory_mb: int, seed: int) -> Self:
        others: list[Trend | PersonalRepeat | Content] = [Trend.fit(split.past, None if split.timed else (inf,))]
        if split.test.repeats:
            others.append(PersonalRepeat.fit(split.past))
        return cls(split, split.validation.sample(SEARCH_USERS, seed=seed), others, memory_mb, seed)

    def best_bank(self) -> FilterBank:
        """A regularisation, the memories, and a second filter that forgets: one after the other; fitted on the past."""
        base = LinearFilter.fit(self.split.past, FilterSettings(regularisation=REGULARISATIONS[0]))
        variants = [base, *(base.variant(regularisation=value) for value in REGULARISATIONS[1:])]
        memories = MEMORIES if self.split.timed else ((inf,),)
        chosen = variants[_best([self._with_bank([one], memories[-1]) for one in variants])]
        scores = [self._with_bank([chosen], lives) for lives in memories]
        best = _best(scores)
        filters = [chosen]
        if self.split.timed:
            settings = FilterSettings(
                regularisation=chosen.settings.regularisation,
                gram_half_life_ms=self.split.past.span_hours * HOUR_MS / DRIFT_SPAN_SHARE,
            )
            drifting = LinearFilter.fit(self.split.past, settings)
            if _best([scores[best], self._with_bank([chosen, drifting], memories[best])]):
                filters.append(drifting)
        return FilterBank(filters, memories[best])

    def with_best_trend(self, bank: FilterBank) -> Self:
        """The same search with as many half-lives of the trend as the window can weigh."""
        if not self.split.timed:
            return self
        hours = self.split.past.span_hours
        fewer = [(*(hours / share for share in shares), inf) for shares in TREND_SPAN_SHARES]
        variants = [replace(self, others=[Trend.fit(self.split.past, lives), *self.others[1:]]) for lives in fewer]
        return self._best_of([*variants, self], bank)

    def with_best_content(self, bank: FilterBank, features: Tensor) -> Self:
        """The same search with content among the other terms, where it ranks better; `features` [num_items, width]."""
        if Content.of(features).is_silent:
            return self
        memories = CONTENT_MEMORIES if self.split.timed else ((inf,),)
        variants = [self] + [replace(self, others=[*self.others, Content.of(features, lives)]) for lives in memories]
        return self._best_of(variants, bank)

    def _best_of(self, variants: Sequence[Self], bank: FilterBank) -> Self:
        return variants[_best([one.out_of_fold([bank, *one.others], FIRST_L2) for one in variants])]

    def _with_bank(self, filters: Sequence[LinearFilter], half_lives: tuple[float, ...]) -> FloatArray:
        return self.out_of_fold([FilterBank(filters, half_lives), *self.others], FIRST_L2)

    def out_of_fold(self, terms: Sequence[Term], l2: float) -> FloatArray:
        """NDCG@20 [U] of each user of the window under a blend that was fitted on the other half of the users."""
        halves = np.random.default_rng(self.seed).permutation(len(self.window)) % 2
        ndcg = np.zeros(len(self.window))
        for half in (0, 1):
            learnt, judged = np.flatnonzero(halves != half), np.flatnonzero(halves == half)
            if len(learnt) and len(judged):
                blend = self._fitted(terms, self.window.picked(learnt), BlendSettings(l2=l2, unknown_l2=l2))
                ndcg[judged] = evaluate(Candidate(list(terms), blend), self.window.picked(judged)).per_user[METRIC]
        return ndcg

    def best_l2(self, terms: Sequence[Term]) -> tuple[BlendSettings, float]:
        """For shoppers with a past and for those without, each by its own users; and the NDCG@20 that it reaches."""
        stranger = self.window.lengths() == 0
        found = [self.out_of_fold(terms, l2) for l2 in L2]

        def best(users: npt.NDArray[np.bool_]) -> int:
            return _best([ndcg[users] for ndcg in found]) if users.any() else L2.index(FIRST_L2)

        known, unknown = best(~stranger), best(stranger)
        reached = np.where(stranger, found[unknown], found[known])
        return BlendSettings(l2=L2[known], unknown_l2=L2[unknown]), float(reached.mean())

    def blend(self, terms: Sequence[Term], settings: BlendSettings) -> Blend:
        """Fitted on as many users of the validation window as the memory holds."""
        return self._fitted(terms, self.split.validation, settings)

    def _fitted(self, terms: Sequence[Term], window: Window, settings: BlendSettings) -> Blend:
        part = fitting_part(terms, window, memory_mb=self.memory_mb, seed=self.seed)
        return fit_blend(terms, part, settings=settings)

    def others_again(self, log: EventLog) -> list[Term]:
        """The closed-form terms beside the filters, their half-lives kept, on more events."""
        return [
            term if isinstance(term, Content) else type(term).fit(log, term.half_lives_hours) for term in self.others
        ]


def _best(scores: Sequence[FloatArray]) -> int:
    """The place of the first of the variants with the largest mean score, each a score a user [U]."""
    return int(np.argmax([score.mean() for score in scores]))
