"""Blend search: chooses the filters, the half-lives, the penalty and the focus of the blend, all out of fold.

Arrives: an `EvaluationSplit`. Leaves: a filter bank, and blends of any terms. Next: `training.search.model_search`.

Each blend is fitted on some users and evaluated on others, so more weights alone do not improve the result. A window of
a hundred users supports few weights, so the half-lives of the bank and the penalty are chosen, too. The first variant
is the default. A window with too few users always takes the default, because there the best variant is mostly the
luckiest; only its penalty may be the usual one, by two standard errors.

Rejected: a second fit on each user's best 100 or 300 items, closer to the served list. Once GraphSAGE and content are
in the sum, it is no better than the whole catalogue.

Rejected: the simplest variant, or the default, unless the best one is better by one standard error (Breiman et al.,
1984). It costs up to 7 %, because one target for each user makes the errors wide.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Self

import numpy as np
from torch import Tensor

from graphstore.arrays import Float64Array
from graphstore.tables import HOUR_MS
from training.blend.blend import Blend
from training.blend.fit import BlendSettings, fit_blend, sample_fit_window
from training.blend.selection import MIN_USERS, Selection, fit_selected, penalty_of_few
from training.data.event_log import EventLog
from training.data.splits import SEARCH_USERS, EvaluationSplit
from training.data.windows import Window
from training.evaluation.ranking import METRIC, evaluate
from training.models.candidate import Candidate
from training.search.budget import SearchBudget
from training.terms.als import AlsTerm, AlsTermSettings
from training.terms.content import Content
from training.terms.filter_bank import HALF_LIVES, FilterBank
from training.terms.habit.examples import HabitSettings, TooFewHabits
from training.terms.habit.term import Habit
from training.terms.linear_filter import FilterSettings, LinearFilter
from training.terms.protocol import ClosedFormTerm, Term
from training.terms.repeat import PersonalRepeat
from training.terms.trend import SPAN_SHARES, Trend

logger = logging.getLogger(__name__)

REGULARISATIONS = (6.0, 2.0, 20.0, 60.0, 150.0)
MEMORIES = ((50.0,), (5.0,), (inf,), HALF_LIVES)
"""Half-lives of the bank in ranks. A single one is for windows too small for the weights of all half-lives."""

DRIFT_SPAN_SHARE = 8.0
"""The time span of the past divided by this number is the half-life of a second filter's Gram matrix."""

TREND_SPAN_SHARES = ((4.0, 16.0), (16.0,), SPAN_SHARES)
"""The time span of the past divided by these numbers gives the trend's half-lives. Infinity is added."""

CONTENT_MEMORIES = ((20.0,), (5.0, inf))
"""Half-lives of the content profile in ranks. The search also tries no content."""

FACTORISATIONS = (
    AlsTermSettings(),
    AlsTermSettings(alpha=16.0, factors=128, iterations=10),
    AlsTermSettings(regularisation=10.0, factors=256),
)
"""On sparse data 64 factors rank by a factor of three worse than 256 with less regularisation."""

L2 = (0.02, 0.5, 0.1, 0.005)
"""Penalties on the weights of the blend. On small and sparse data large ones rank best."""

FOCUSES = (BlendSettings().focus, 1.0, 0.0)
"""For discovery, 1 ranks 2 % better than 0 in a gift shop and a grocery. For a grocery's next basket it is 1 %
worse."""

BANK_SHARE, TERMS_SHARE, HABIT_SHARE, ROUNDS_SHARE = 0.2, 0.35, 0.5, 0.8
"""Of a budget: what may be spent when another regularisation is tried, when another term is, when the habit is, and
when another round of multipliers is. The habit comes after the filters, which may spend all that is for terms, and
brings more to a next basket than they do."""

BUDGET_CELLS, FEWEST_USERS = 4_000_000, 300
"""Under a budget: users × items of a comparison, and the least number of its users."""

FIRST_L2 = 0.005
"""Penalty while terms are chosen. A small penalty shows the effect of additional terms."""


@dataclass(frozen=True)
class BlendSearch:
    """The state that all comparisons share."""

    split: EvaluationSplit
    window: Window
    others: list[ClosedFormTerm]
    """Every term except the filters and GraphSAGE, fitted on the past. The trend comes first."""
    memory_mb: int
    seed: int
    focus: float = FOCUSES[0]
    budget: SearchBudget = field(default_factory=SearchBudget)
    left_out: Mapping[str, str] = field(default_factory=dict)
    """The terms that could not be offered to the sum, each with the reason."""

    @classmethod
    def of(cls, split: EvaluationSplit, *, memory_mb: int, seed: int, budget: SearchBudget | None = None) -> Self:
        """Fit the terms that are always there. A bounded `budget` compares on fewer users of a large catalogue."""
        budget = budget or SearchBudget()
        users = max(FEWEST_USERS, min(SEARCH_USERS, BUDGET_CELLS // max(split.num_items, 1)))
        others: list[ClosedFormTerm] = [Trend.fit(split.past, None if split.timed else (inf,))]
        if split.test.repeats:
            others.append(PersonalRepeat.fit(split.past))
        window = split.validation.sample(users if budget.is_bounded else SEARCH_USERS, seed=seed)
        return cls(split, window, others, memory_mb, seed, budget=budget)

    def best_bank(self) -> FilterBank:
        """Return a filter bank fitted on the past.

        Chosen are the regularisation, the half-lives, a second filter with decay, and one of co-occurrence.
        """
        values = REGULARISATIONS if self.has_enough_users else REGULARISATIONS[:1]
        fits = LinearFilter.fit_each(self.split.past, FilterSettings(), values)
        variants = [next(fits)]
        memories = MEMORIES if self.split.timed else ((inf,),)
        if not self.has_enough_users:
            return FilterBank(variants, memories[0])
        reached = [self._with_bank(variants, memories[-1])]
        for _ in values[1:]:
            if self.budget.allows("regularisation of the filters", BANK_SHARE):
                variants.append(next(fits))
                reached.append(self._with_bank(variants[-1:], memories[-1]))
        chosen = variants[best_index(reached)]
        scores = [self._with_bank([chosen], lives) for lives in memories]
        memory = best_index(scores)
        filters = [chosen]
        if self.split.timed and self.budget.allows("a drifting filter", TERMS_SHARE):
            settings = FilterSettings(
                regularisation=chosen.settings.regularisation,
                gram_half_life_ms=self.split.past.span_hours * HOUR_MS / DRIFT_SPAN_SHARE,
            )
            drifting = LinearFilter.fit(self.split.past, settings)
            if best_index([scores[memory], self._with_bank([chosen, drifting], memories[memory])]):
                filters.append(drifting)
                scores[memory] = self._with_bank(filters, memories[memory])
        if not self.budget.allows("co-occurrence", TERMS_SHARE):
            return FilterBank(filters, memories[memory])
        together = LinearFilter.fit(self.split.past, FilterSettings(cooccurrence=True))
        if best_index([scores[memory], self._with_bank([*filters, together], memories[memory])]):
            filters.append(together)
        return FilterBank(filters, memories[memory])

    def with_best_focus(self, bank: FilterBank) -> Self:
        """Return the search with the focus that ranks best. All later steps use it."""
        if len(self.window.targets) == len(self.window):  # with one target each, all focuses are the same
            return self
        if not self.budget.allows("focus", TERMS_SHARE):
            return self
        return self._best_of([replace(self, focus=focus) for focus in FOCUSES], bank)

    def with_best_trend(self, bank: FilterBank) -> Self:
        """Return the search with as many trend half-lives as the window supports."""
        if not self.split.timed:
            return self
        hours = self.split.past.span_hours
        memories = [(*(max(hours / share, 1.0) for share in shares), inf) for shares in TREND_SPAN_SHARES]
        variants = [replace(self, others=[Trend.fit(self.split.past, lives), *self.others[1:]]) for lives in memories]
        return self._best_of(variants, bank)

    def with_best_habit(self, bank: FilterBank) -> Self:
        """Return the search with a habit model of the known items, when it ranks better. Only for repeats in time.

        A small window has none: its past is seldom long enough, and the counts of `PersonalRepeat` are the safer half.
        """
        if not self.split.test.repeats or not self.has_enough_users or (horizon_ms := self.split.horizon_ms) is None:
            return self
        if not self.budget.allows(Habit.name, HABIT_SHARE):
            return self
        try:
            habit = Habit.fit(self.split.past, HabitSettings(horizon_ms), seed=self.seed)
        except TooFewHabits as error:
            logger.warning("the sum is without habits: %s", error)
            return replace(self, left_out={**self.left_out, Habit.name: str(error)})
        return self._best_of([self, replace(self, others=[*self.others, habit])], bank)

    def with_best_content(self, bank: FilterBank, features: Tensor) -> Self:
        """Return the search with content, when content ranks better; `features` [num_items, width]."""
        if Content.of(features).is_empty:
            return self
        memories = CONTENT_MEMORIES if self.split.timed else ((inf,),)
        variants = [replace(self, others=[*self.others, Content.of(features, lives)]) for lives in memories]
        return self._best_of([*variants, self], bank)

    def with_best_factorisation(self, bank: FilterBank) -> Self:
        """Return the search with a factorisation, when it ranks better.

        With repeats there is no factorisation: it costs 2 % in a grocery's next basket. It scores the items of a user's
        history highest, and the user's own counts rank these better.
        """
        if self.split.test.repeats:
            return self
        found = [AlsTerm.fit(self.split.past, settings, seed=self.seed) for settings in self._factorisations()]
        return self._best_of([*(replace(self, others=[*self.others, one]) for one in found), self], bank)

    def _factorisations(self) -> Sequence[AlsTermSettings]:
        if not self.has_enough_users or not self.budget.allows("settings of the factorisation", TERMS_SHARE):
            return FACTORISATIONS[:1]
        return FACTORISATIONS

    @property
    def has_enough_users(self) -> bool:
        """Whether the window has enough users to leave a default. If not, no variant is fitted and ranked."""
        return len(self.window) >= MIN_USERS

    def _best_of(self, variants: Sequence[Self], bank: FilterBank) -> Self:
        if not self.has_enough_users:
            return variants[0]
        return variants[best_index([one.out_of_fold([bank, *one.others], FIRST_L2) for one in variants])]

    def _with_bank(self, filters: Sequence[LinearFilter], half_lives: tuple[float, ...]) -> Float64Array:
        return self.out_of_fold([FilterBank(filters, half_lives), *self.others], FIRST_L2)

    def out_of_fold(self, terms: Sequence[Term], l2: float) -> Float64Array:
        """Return NDCG@20 [U] of each user of the window. The other half of the users fits each user's blend."""
        return self._cross_fit(terms, self.window, self._settings(l2, l2), np.random.default_rng(self.seed))

    def _cross_fit(
        self, terms: Sequence[Term], window: Window, settings: BlendSettings, rng: np.random.Generator
    ) -> Float64Array:
        halves = rng.permutation(len(window)) % 2
        ndcg = np.zeros(len(window))
        for half in (0, 1):
            learnt, judged = np.flatnonzero(halves != half), np.flatnonzero(halves == half)
            if len(learnt) and len(judged):
                blend = self._fit_blend(terms, window.take(learnt), settings)
                ndcg[judged] = evaluate(Candidate(list(terms), blend), window.take(judged)).per_user[METRIC]
        return ndcg

    def best_l2(self, terms: Sequence[Term]) -> BlendSettings:
        """Choose the penalties for known and for cold users, each on its own users."""
        if not self.has_enough_users:
            usual = self._settings(L2[0], L2[0])
            l2 = penalty_of_few(terms, self.window, settings=usual, memory_mb=self.memory_mb, seed=self.seed)
            return self._settings(l2, l2)
        cold = self.window.lengths() == 0
        found = [self.out_of_fold(terms, l2) for l2 in L2]
        known, unknown = (best_index([ndcg[users] for ndcg in found]) for users in (~cold, cold))
        return self._settings(L2[known], L2[unknown])

    def _settings(self, l2: float, unknown_l2: float) -> BlendSettings:
        return BlendSettings(l2=l2, unknown_l2=unknown_l2, focus=self.focus)

    def blend(
        self, terms: Sequence[Term], settings: BlendSettings, *, compared: Selection | None = None
    ) -> tuple[Blend, Selection]:
        """Fit a blend on as many users of the validation window as memory allows, with the terms that count.

        Other multipliers are tried while the budget allows it, and as often as for the selection that this one is
        `compared` with: else the sum with less time would seem to be the worse one.
        """
        granted = compared.rounds if compared else 0
        return fit_selected(
            terms,
            self.split.validation,
            settings=settings,
            memory_mb=self.memory_mb,
            seed=self.seed,
            another_round=lambda rounds: (
                rounds < granted or self.budget.allows("more rounds of multipliers", ROUNDS_SHARE)
            ),
        )

    def _fit_blend(self, terms: Sequence[Term], window: Window, settings: BlendSettings) -> Blend:
        part = sample_fit_window(terms, window, memory_mb=self.memory_mb, seed=self.seed)
        return fit_blend(terms, part, settings=settings)

    def refit_others(self, log: EventLog) -> list[Term]:
        """Refit the terms besides filters and GraphSAGE on more events, with the same settings."""
        return [term.refit(log, seed=self.seed) for term in self.others]


def best_index(scores: Sequence[Float64Array]) -> int:
    """Return the index of the variant with the largest mean score, 0 with few users. Each array is a score by user
    [U]."""
    return int(np.argmax([score.mean() for score in scores])) if len(scores[0]) >= MIN_USERS else 0
