"""Positions: fills a list position after position, where rules say what may stand together.

A pin stands where the shop has put it. At any other position those items may come whose product has room, which exceed
the soft caps least, and which are of the lowest tier; only items that quotas have reserved, when no position is left
for others. Of these the one with the highest utility comes (`serving.rules.diversity`), or exploration draws one.

What may come, and each utility, depend only on the items before. So the propensity of an item is exact, as in
`serving.exploration`: its probability at its position, given the items before it. A pin has 1.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from graphstore.arrays import BoolArray, Float64Array, IntArray
from serving import exploration
from serving.routing import Exploration
from serving.rules.candidate import CAP_RELAXED, DIVERSITY, PIN, QUOTA, Candidate, Chosen
from serving.rules.caps import Caps
from serving.rules.context import RuleContext
from serving.rules.diversity import Diversity, Likeness
from serving.rules.quotas import Quotas
from serving.rules.rule_set import RuleSet


class Positions:
    """A list in the making. The rows [n] are the listed candidates, best first, then new items, then pins."""

    def __init__(
        self,
        listed: Sequence[Chosen],
        new: Sequence[Candidate],
        pins: Mapping[int, Candidate],
        rules: RuleSet,
        context: RuleContext,
    ) -> None:
        self._rows = [*listed, *(Chosen(one, one.score, 1.0) for one in (*new, *pins.values()))]
        items = [row.candidate.item for row in self._rows]
        first_pin = len(listed) + len(new)
        self._left: BoolArray = np.arange(len(items)) < first_pin
        self._is_new: BoolArray = self._left & (np.arange(len(items)) >= len(listed))
        self._scores: Float64Array = np.array([row.score for row in self._rows], dtype=np.float64)
        self._tiers: IntArray = np.array([row.candidate.tier for row in self._rows], dtype=np.int64)
        self._caps = Caps(items, rules)
        self._quotas = Quotas(items, rules)
        self._diversity: Diversity | None = None
        if rules.diversity > 0:
            self._diversity = Diversity(self._scores, self._tiers, rules.diversity, Likeness(items, context.vectors))
        self._reserved: list[int] = []
        self._pins = dict(zip(pins, range(first_pin, len(items)), strict=True))
        for row in self._pins.values():
            self._caps.take(row)
            self._quotas.place(row)

    def fill(self, k: int, how: Exploration, seed: int) -> list[Chosen]:
        """Return the items of `k` positions, or fewer when fewer may come. Call it once."""
        rng = np.random.default_rng(seed) if exploration.explores(how) else None
        free = k - len(self._pins)
        self._reserved = self._reserve(free)
        filled: list[Chosen] = []
        for position in range(k):
            if (pin := self._pins.pop(position, None)) is not None:
                filled.append(self._pin(pin))
            elif self._left.any() and (chosen := self._next(free, how, rng)) is not None:
                filled.append(chosen)
                free -= 1
            else:
                break
        # Where the list ends before their positions, the pins come last.
        return filled + [self._pin(row) for row in self._pins.values()]

    def _pin(self, row: int) -> Chosen:
        self._show(row)
        chosen = self._rows[row]
        return Chosen(chosen.candidate, chosen.score, 1.0, (*chosen.rules, PIN))

    def _next(self, free: int, how: Exploration, rng: np.random.Generator | None) -> Chosen | None:
        """Return the item of the next position, `free` positions without a pin being left. None: no item may come."""
        pool = self._left & self._caps.open()
        pool[self._reserved] = True
        utilities = self._scores if self._diversity is None else self._diversity.utilities()
        forced = len(self._reserved) >= free
        whole = pool.copy() if forced else pool
        if forced:
            pool[:] = False
            pool[self._reserved] = True
        if not pool.any():
            return None
        excess = self._keep_least_excess(pool)
        self._keep_lowest_tier(pool)
        if rng is None:
            row, propensity = int(np.argmax(np.where(pool, utilities, -np.inf))), 1.0
        else:
            row, propensity = exploration.draw_next(utilities, pool, self._is_new, how, rng)
        touched = list(self._rows[row].rules)
        if self._diversity is not None and _passed_over(pool, self._scores, utilities, row):
            touched.append(DIVERSITY)
        if forced and bool((whole & ~pool & (utilities > utilities[row])).any()):
            touched.append(QUOTA)
        if excess:
            touched.append(CAP_RELAXED)
        self._take(row, free - 1)
        return Chosen(self._rows[row].candidate, self._rows[row].score, propensity, tuple(touched))

    def _keep_least_excess(self, pool: BoolArray) -> int:
        """Take the items out of the pool that exceed the soft caps more than others. Return the excess of the rest."""
        excess = self._caps.excess()
        if excess is None:
            return 0
        excess[self._reserved] = 0  # their room is theirs
        least = int(excess[pool].min())
        pool &= excess == least
        return least

    def _keep_lowest_tier(self, pool: BoolArray) -> None:
        """Take the listed items out of the pool that are not of its lowest tier. New items have none."""
        listed = pool & ~self._is_new
        if listed.any():
            pool &= self._is_new | (self._tiers == self._tiers[listed].min())

    def _take(self, row: int, free: int) -> None:
        """Show the item, and keep what the quotas need reserved for the `free` positions after it."""
        if row in self._reserved:
            self._reserved.remove(row)  # the caps have counted it
            self._quotas.place(row)
        else:
            self._caps.take(row)
            if self._quotas.place(row):  # one reserved item less is needed
                for other in self._reserved:
                    self._caps.give_back(other)
                self._show(row)
                self._reserved = self._reserve(free)
                return
        self._show(row)

    def _reserve(self, free: int) -> list[int]:
        return self._quotas.reserve(self._left, self._caps, free)

    def _show(self, row: int) -> None:
        self._left[row] = False
        if self._diversity is not None:
            self._diversity.add(row)


def _passed_over(pool: BoolArray, scores: Float64Array, utilities: Float64Array, row: int) -> bool:
    """Return whether an item of the pool has a higher score than this one and a lower utility."""
    return bool((pool & (scores > scores[row]) & (utilities < utilities[row])).any())
