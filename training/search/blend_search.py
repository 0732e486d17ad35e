"""The blend search: which filters, which memories, how tight and how focused a blend, all judged out of fold.

Arrives: an `EvaluationSplit`. Leaves: a filter bank, blends of any terms. Next: `training.search.model_search`.

A likelihood fitted on some users and judged on others cannot be bought by more weights, and a window of a hundred users
carries few of them: so the memories of the bank and the penalty on the weights are chosen, too. The first of the
variants is the default, and a window of too few users chooses nothing: there the best of four is mostly the luckiest.

Tried and left: a second fit on each user's best hundred or three hundred items alone, nearer to what a list shows, is
no better than the whole catalogue once GraphSAGE and content stand in the sum; and the simplest variant, or the
default, unless the best leads by a standard error (Breiman et al., 1984) costs up to 7 %, because one target a user
makes the errors wide.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Self

import numpy as np
from torch import Tensor

from graphstore.arrays import Float64Array
from graphstore.tables import HOUR_MS
from training.blend.blend import Blend
from training.blend.fit import BlendSettings, fit_blend, fitting_part
from training.data.event_log import EventLog
from training.data.splits import SEARCH_USERS, EvaluationSplit
from training.data.windows import Window
from training.evaluation.ranking import METRIC, evaluate
from training.models.candidate import Candidate
from training.terms.als import AlsTerm
from training.terms.content import Content
from training.terms.filter_bank import HALF_LIVES, FilterBank
from training.terms.linear_filter import FilterSettings, LinearFilter
from training.terms.protocol import ClosedFormTerm, Term
from training.terms.repeat import PersonalRepeat
from training.terms.trend import SPAN_SHARES, Trend

REGULARISATIONS = (6.0, 2.0, 20.0, 60.0)
MEMORIES = ((50.0,), (5.0,), (inf,), HALF_LIVES)
"""Half-lives of the bank: a single one where the window is too small for the weights of all at once."""

DRIFT_SPAN_SHARE = 8.0
"""Half-life of a second filter's Gram matrix, as a divisor of the time that the past spans."""

TREND_SPAN_SHARES = ((4.0, 16.0), (16.0,), SPAN_SHARES)
"""Half-lives of the trend, as divisors of the time that the past spans; infinity beside them."""

CONTENT_MEMORIES = ((20.0,), (5.0, inf))
"""Half-lives of content's profile; or no content at all."""

L2 = (0.02, 0.1, 0.005, 0.001)
"""Penalties on the weights of the blend."""

FOCUSES = (BlendSettings().focus, 1.0, 0.0)
"""In the discovery of a gift shop and of a grocer 1 ranks 2 % better than 0, in a grocer's next basket 1 % worse."""

FIRST_L2 = 0.005
"""While terms are chosen: what more of them can say shows in a loose blend."""

HALVINGS = 3
"""Divisions of the users over which the largest of the choices is averaged."""

FEWEST_USERS = 200
"""A window of fewer users does not tell the better of two variants: the defaults stand."""


@dataclass(frozen=True)
class BlendSearch:
    """What all comparisons share."""

    split: EvaluationSplit
    window: Window
    others: list[ClosedFormTerm]
    """Every term but the filters and GraphSAGE, fitted on the past; the trend first."""
    memory_mb: int
    seed: int
    focus: float = FOCUSES[0]

    @classmethod
    def of(cls, split: EvaluationSplit, *, memory_mb: int, seed: int) -> Self:
        others: list[ClosedFormTerm] = [Trend.fit(split.past, None if split.timed else (inf,))]
        if split.test.repeats:
            others.append(PersonalRepeat.fit(split.past))
        return cls(split, split.validation.sample(SEARCH_USERS, seed=seed), others, memory_mb, seed)

    def best_bank(self) -> FilterBank:
        """A regularisation, the memories, and a second filter that forgets: one after the other; fitted on the past."""
        base = LinearFilter.fit(self.split.past, FilterSettings(regularisation=REGULARISATIONS[0]))
        memories = MEMORIES if self.split.timed else ((inf,),)
        if not self.chooses:
            return FilterBank([base], memories[0])
        variants = [base, *(base.variant(regularisation=value) for value in REGULARISATIONS[1:])]
        chosen = variants[best([self._with_bank([one], memories[-1]) for one in variants])]
        scores = [self._with_bank([chosen], lives) for lives in memories]
        memory = best(scores)
        filters = [chosen]
        if self.split.timed:
            settings = FilterSettings(
                regularisation=chosen.settings.regularisation,
                gram_half_life_ms=self.split.past.span_hours * HOUR_MS / DRIFT_SPAN_SHARE,
            )
            drifting = LinearFilter.fit(self.split.past, settings)
            if best([scores[memory], self._with_bank([chosen, drifting], memories[memory])]):
                filters.append(drifting)
        return FilterBank(filters, memories[memory])

    def with_best_focus(self, bank: FilterBank) -> Self:
        """The same search with the focus that ranks better, for all that follows."""
        if len(self.window.targets) == len(self.window):  # one target a user: all are the same
            return self
        return self._best_of([replace(self, focus=focus) for focus in FOCUSES], bank)

    def with_best_trend(self, bank: FilterBank) -> Self:
        """The same search with as many half-lives of the trend as the window can weigh."""
        if not self.split.timed:
            return self
        hours = self.split.past.span_hours
        memories = [(*(max(hours / share, 1.0) for share in shares), inf) for shares in TREND_SPAN_SHARES]
        variants = [replace(self, others=[Trend.fit(self.split.past, lives), *self.others[1:]]) for lives in memories]
        return self._best_of(variants, bank)

    def with_best_content(self, bank: FilterBank, features: Tensor) -> Self:
        """The same search with content among the other terms, where it ranks better; `features` [num_items, width]."""
        if Content.of(features).is_silent:
            return self
        memories = CONTENT_MEMORIES if self.split.timed else ((inf,),)
        variants = [replace(self, others=[*self.others, Content.of(features, lives)]) for lives in memories]
        return self._best_of([*variants, self], bank)

    def with_best_factorisation(self, bank: FilterBank) -> Self:
        """The same search with a factorisation among the other terms, where it ranks better.

        Not with repeats, where it costs 2 % in a grocer's next basket: what a shopper had is what it scores highest,
        and for that own counts say more.
        """
        if self.split.test.repeats:
            return self
        factorisation = AlsTerm.fit(self.split.past, seed=self.seed)
        return self._best_of([replace(self, others=[*self.others, factorisation]), self], bank)

    @property
    def chooses(self) -> bool:
        """Whether the window holds users enough to leave a default: if not, no variant need be fitted and ranked."""
        return len(self.window) >= FEWEST_USERS

    def _best_of(self, variants: Sequence[Self], bank: FilterBank) -> Self:
        if not self.chooses:
            return variants[0]
        return variants[best([one.out_of_fold([bank, *one.others], FIRST_L2) for one in variants])]

    def _with_bank(self, filters: Sequence[LinearFilter], half_lives: tuple[float, ...]) -> Float64Array:
        return self.out_of_fold([FilterBank(filters, half_lives), *self.others], FIRST_L2)

    def out_of_fold(self, terms: Sequence[Term], l2: float) -> Float64Array:
        """NDCG@20 [U] of each user of the window under a blend that was fitted on the other half of the users."""
        return self._halved(terms, self.window, self._settings(l2, l2), np.random.default_rng(self.seed))

    def on_all(self, terms: Sequence[Term], settings: BlendSettings) -> Float64Array:
        """The same for all users [V] of the validation, a mean over `HALVINGS` divisions into halves.

        For what a thousand users and one division cannot tell: in a grocer's discovery GraphSAGE adds or costs one per
        cent, and that is their standard error.
        """
        rng = np.random.default_rng(self.seed)
        found = [self._halved(terms, self.split.validation, settings, rng) for _ in range(HALVINGS)]
        ndcg: Float64Array = np.mean(found, axis=0)
        return ndcg

    def _halved(
        self, terms: Sequence[Term], window: Window, settings: BlendSettings, rng: np.random.Generator
    ) -> Float64Array:
        halves = rng.permutation(len(window)) % 2
        ndcg = np.zeros(len(window))
        for half in (0, 1):
            learnt, judged = np.flatnonzero(halves != half), np.flatnonzero(halves == half)
            if len(learnt) and len(judged):
                blend = self._fitted(terms, window.take(learnt), settings)
                ndcg[judged] = evaluate(Candidate(list(terms), blend), window.take(judged)).per_user[METRIC]
        return ndcg

    def best_l2(self, terms: Sequence[Term]) -> BlendSettings:
        """For shoppers with a past and for those without, each by its own users."""
        stranger = self.window.lengths() == 0
        found = [self.out_of_fold(terms, l2) for l2 in L2]
        known, unknown = (best([ndcg[users] for ndcg in found]) for users in (~stranger, stranger))
        return self._settings(L2[known], L2[unknown])

    def _settings(self, l2: float, unknown_l2: float) -> BlendSettings:
        return BlendSettings(l2=l2, unknown_l2=unknown_l2, focus=self.focus)

    def blend(self, terms: Sequence[Term], settings: BlendSettings) -> Blend:
        """Fitted on as many users of the validation window as the memory holds."""
        return self._fitted(terms, self.split.validation, settings)

    def _fitted(self, terms: Sequence[Term], window: Window, settings: BlendSettings) -> Blend:
        part = fitting_part(terms, window, memory_mb=self.memory_mb, seed=self.seed)
        return fit_blend(terms, part, settings=settings)

    def others_again(self, log: EventLog) -> list[Term]:
        """The terms beside the filters and GraphSAGE, their settings kept, on more events."""
        return [term.refit(log, seed=self.seed) for term in self.others]


def best(scores: Sequence[Float64Array]) -> int:
    """The place of the variant with the largest mean score, each a score a user [U]; the first where users are few."""
    return int(np.argmax([score.mean() for score in scores])) if len(scores[0]) >= FEWEST_USERS else 0
