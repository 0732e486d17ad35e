"""Known: what a slot's rules alone say of an item, remembered from request to request.

Arrives: the rules of a slot, and items. Leaves: a `Fact` for each item. Next: filters, scoring and quotas read the
facts instead of comparing every item with every criteria again: a request asks for two hundred items.

A fact holds for one item object. The reader of items makes a new object when an item changes
(`serving.cache.ItemReader`), and a slots file that is read again makes new rules; so nothing old is ever told. What
depends on the shopper or the request is not remembered.

Rejected: `functools.lru_cache` over (criteria, item). Both hold dictionaries and have no hash, and a call for each
criteria costs as much as the comparison.
"""

from collections.abc import Iterable, Sequence

import msgspec

from graphstore.catalogue import Item
from serving.exploration import NEW
from serving.rules import boosts
from serving.rules.candidate import Candidate
from serving.rules.rule_set import RuleSet

MAX_RULE_SETS = 32
"""Rule sets that are remembered. When there are more, all are forgotten."""
MAX_FACTS = 20_000
"""Facts of one rule set, some hundred bytes each. When there are more, all are forgotten."""


class Fact(msgspec.Struct, frozen=True, gc=False):
    """What the rules of one slot say of one item."""

    item: Item
    offered: bool
    """Whether it can be bought now and matches the slot's `only`."""
    lift: float
    """What the boosts add to its score."""
    quotas: tuple[bool, ...]
    """Whether it matches each quota."""


class Known:
    """The facts of one rule set. Threads may share it: a race only makes a fact twice."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self._facts: dict[int, Fact] = {}
        self._newest: tuple[Sequence[Item], list[Candidate]] = ((), [])

    def __len__(self) -> int:
        """Return the number of remembered facts."""
        return len(self._facts)

    def of(self, item: Item) -> Fact:
        """Return the fact of an item."""
        fact = self._facts.get(item.item_key)
        return fact if fact is not None and fact.item is item else self._learn(item)

    def facts(self, items: Iterable[Item]) -> list[Fact]:
        """Return the facts of items, in their order."""
        kept, found = self._facts.get, list[Fact]()
        for item in items:
            fact = kept(item.item_key)
            if fact is None or fact.item is not item:
                fact = self._learn(item)
            found.append(fact)
        return found

    def offered(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return the candidates whose items the slot may show, whoever the shopper is."""
        kept, found = self._facts.get, list[Candidate]()
        for one in candidates:
            item = one.item
            fact = kept(item.item_key)
            if fact is None or fact.item is not item:
                fact = self._learn(item)
            if fact.offered:
                found.append(one)
        return found

    def newest(self, items: Sequence[Item]) -> list[Candidate]:
        """Return candidates for the newest items that the slot may show, the newest first.

        It is remembered for this list object: its reader makes a new one when an item changes.
        """
        of, found = self._newest
        if of is not items:
            found = self.offered([Candidate(item, 0.0, NEW) for item in items])
            found.sort(key=newest_first)
            self._newest = (items, found)
        return found

    def _learn(self, item: Item) -> Fact:
        rules = self.rules
        fact = Fact(
            item,
            item.available and rules.only.matches(item),
            boosts.changes([item], rules)[0],
            tuple(quota.items.matches(item) for quota in rules.quota),
        )
        if len(self._facts) >= MAX_FACTS:
            self._facts.clear()
        self._facts[item.item_key] = fact
        return fact


def newest_first(candidate: Candidate) -> int:
    """Return the place of a new item among others: keys are given in the order in which items come."""
    return -candidate.item.item_key


_kept: dict[int, Known] = {}
"""By the identity of the rules. Each entry holds its rules, so no other rules have this identity meanwhile."""


def known(rules: RuleSet) -> Known:
    """Return what is remembered of these rules in this process."""
    found = _kept.get(id(rules))
    if found is None:
        if len(_kept) >= MAX_RULE_SETS:
            _kept.clear()
        found = _kept[id(rules)] = Known(rules)
    return found
