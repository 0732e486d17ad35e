"""Positions: fills a list position after position, where rules say what may stand together.

A pin stands where the shop has put it. At any other position those items may come whose product has room, which exceed
the soft caps least, and which are of the lowest tier; only items that quotas have reserved, when no position is left
for others. Of these the one with the highest utility comes (`serving.rules.diversity`), or exploration draws one.

What may come, and each utility, depend only on the items before. So the propensity of an item is exact, as in
`serving.exploration`: its probability at its position, given the items before it. A pin has 1.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

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


class _Step(NamedTuple):
    """A filled position."""

    row: int
    propensity: float
    touched: tuple[str, ...]
    """The rules that have put the item there, without diversity."""
    drawn: tuple[BoolArray, Float64Array] | None = None
    """Which rows [n] could come, and their utilities [n]. None: a pin."""


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
        added = (*new, *pins.values())
        self._candidates = [*(one.candidate for one in listed), *added]
        self._touched = [one.rules for one in listed]
        """Of the listed rows: the others are not touched before they have a position."""
        items = [one.item for one in self._candidates]
        first_pin = len(listed) + len(new)
        numbers = np.arange(len(items))
        self._left: BoolArray = numbers < first_pin
        self._is_new: BoolArray = self._left & (numbers >= len(listed))
        self._own_scores = [*(one.score for one in listed), *(one.score for one in added)]
        self._scores: Float64Array = np.array(self._own_scores, dtype=np.float64)
        tiers = [one.tier for one in self._candidates]
        self._tiers: IntArray = np.array(tiers, dtype=np.int64) if any(tiers) else np.zeros(len(tiers), dtype=np.int64)
        self._one_tier = len({*tiers[: len(listed)]}) <= 1
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
        filled: list[_Step] = []
        for position in range(k):
            if (pin := self._pins.pop(position, None)) is not None:
                filled.append(self._pin(pin))
            elif (step := self._next(free, how, rng)) is not None:
                filled.append(step)
                free -= 1
            else:
                break
        # Where the list ends before their positions, the pins come last.
        filled += [self._pin(row) for row in self._pins.values()]
        return self._chosen(filled)

    def _pin(self, row: int) -> _Step:
        self._show(row)
        return _Step(row, 1.0, (PIN,))

    def _next(self, free: int, how: Exploration, rng: np.random.Generator | None) -> _Step | None:
        """Return the item of the next position, `free` positions without a pin being left. None: no item may come."""
        pool = self._left & self._caps.open()
        utilities = self._scores if self._diversity is None else self._diversity.utilities()
        forced = len(self._reserved) >= free
        if self._reserved:
            pool[self._reserved] = True
        whole = pool
        if forced:
            pool = np.zeros(len(pool), dtype=np.bool_)
            pool[self._reserved] = True
        if not np.count_nonzero(pool):
            return None
        pool, excess = self._least_excess(pool)
        pool = self._lowest_tier(pool)
        if rng is None:
            row, propensity = int(np.where(pool, utilities, -np.inf).argmax()), 1.0
        else:
            row, propensity = exploration.draw_next(utilities, pool, self._is_new, how, rng)
        touched: tuple[str, ...] = ()
        if forced and np.count_nonzero(whole & ~pool & (utilities > utilities[row])):
            touched += (QUOTA,)
        if excess:
            touched += (CAP_RELAXED,)
        self._take(row, free - 1)
        return _Step(row, propensity, touched, (pool, utilities))

    def _least_excess(self, pool: BoolArray) -> tuple[BoolArray, int]:
        """Return the items of the pool that exceed the soft caps least, and their excess."""
        within = self._caps.within()
        if within is None:
            return pool, 0
        found = pool & within
        if self._reserved:
            found[self._reserved] = pool[self._reserved]  # their room is theirs
        if np.count_nonzero(found):
            return found, 0
        excess = self._caps.excess()
        assert excess is not None
        least = int(excess[pool].min())
        return pool & (excess == least), least

    def _lowest_tier(self, pool: BoolArray) -> BoolArray:
        """Return the new items of the pool, which have no tier, and the listed items of its lowest tier."""
        if self._one_tier:
            return pool
        listed = pool & ~self._is_new
        if not np.count_nonzero(listed):
            return pool
        lowest: BoolArray = self._is_new | (self._tiers == self._tiers[listed].min())
        return pool & lowest

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

    def _chosen(self, steps: Sequence[_Step]) -> list[Chosen]:
        passed_over = self._passed_over(steps)
        found: list[Chosen] = []
        for place, step in enumerate(steps):
            row = step.row
            touched = self._touched[row] if row < len(self._touched) else ()
            if place in passed_over:
                touched += (DIVERSITY,)
            found.append(
                Chosen(self._candidates[row], self._own_scores[row], step.propensity, (*touched, *step.touched))
            )
        return found

    def _passed_over(self, steps: Sequence[_Step]) -> set[int]:
        """Return the places where an item of the pool has a higher score than the one there, and a lower utility."""
        drawn = {place: step.drawn for place, step in enumerate(steps) if step.drawn is not None}
        if self._diversity is None or not drawn:
            return set()
        rows = [steps[place].row for place in drawn]
        shape = (len(rows), len(self._scores))
        pools = np.concatenate([pool for pool, _ in drawn.values()]).reshape(shape)
        utilities = np.concatenate([utilities for _, utilities in drawn.values()]).reshape(shape)
        own = utilities[np.arange(len(rows)), rows][:, np.newaxis]
        beaten = pools & (self._scores > self._scores[rows][:, np.newaxis]) & (utilities < own)
        places = list(drawn)
        return {places[row] for row in np.flatnonzero(np.any(beaten, axis=1)).tolist()}
