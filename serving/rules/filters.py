"""Filters: which items a list may show at all.

An item passes when it can be bought now, matches the slot's `only` and the request's criteria, is not in the cart
(unless the slot offers the cart), was not bought in the last `bought_within_days`, and is due again
(`serving.rules.repurchase`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from graphstore.catalogue import Item
from serving.rules import repurchase
from serving.rules.candidate import Candidate
from serving.rules.context import DAY_MS, RuleContext
from serving.rules.criteria import NO_CRITERIA, Criteria
from serving.rules.known import known
from serving.rules.rule_set import RuleSet

Test = Callable[[Item], bool]
FEW = 8
"""A tuple of so many names is searched as fast as a set, and needs no set to be made."""
_NAMED = ("categories", "brands", "without_categories", "without_brands")


class Filter:
    """The filters of one list: what the slot says of an item is known already, the shopper and the request come on top.

    A list asks it for many candidates at once, because each call costs more than most answers.
    """

    def __init__(self, rules: RuleSet, context: RuleContext) -> None:
        self._rules, self._context = rules, context
        self._known = known(rules)
        without = _in_cart(rules, context)
        if rules.bought_within_days is not None:
            oldest = context.now - rules.bought_within_days * DAY_MS
            without |= {item_id for item_id, last in context.bought.items() if last > oldest}
        self._conditions = _conditions(context.criteria, without)
        self._without = without
        self._bought: Mapping[str, int] = context.bought if rules.repurchase else {}

    def __call__(self, item: Item) -> bool:
        """Return whether the item passes."""
        return self._known.of(item).offered and self._suits(item)

    def kept(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return the candidates that pass."""
        return self._suiting(self._known.offered(candidates))

    def newest(self, items: Sequence[Item]) -> list[Candidate]:
        """Return candidates for those of the shop's newest items that pass, the newest first."""
        return self._suiting(self._known.newest(items))

    def _suiting(self, offered: list[Candidate]) -> list[Candidate]:
        if not (self._without or self._conditions or self._bought):
            return offered
        return [one for one in offered if self._suits(one.item)]

    def _suits(self, item: Item) -> bool:
        """Return whether neither the request nor the shopper's purchases speak against the item."""
        if item.item_id in self._without or not all(matches(item) for matches in self._conditions):
            return False
        last = self._bought.get(item.item_id)
        return last is None or repurchase.is_due(item, last, self._rules, self._context)


def passes(rules: RuleSet, context: RuleContext) -> Filter:
    """Return the test of an item under the slot's rules."""
    return Filter(rules, context)


def passes_as_pin(rules: RuleSet, context: RuleContext) -> Test:
    """Return the test of a pinned item: the slot's `only` and purchases do not count."""
    return _test(context.criteria, _in_cart(rules, context))


def _in_cart(rules: RuleSet, context: RuleContext) -> set[str]:
    return set() if rules.offer_cart else set(context.cart)


def _test(criteria: tuple[Criteria, ...], without: set[str]) -> Test:
    """Return the test for availability, criteria and excluded items."""
    conditions = _conditions(criteria, without)
    return lambda item: item.available and item.item_id not in without and all(matches(item) for matches in conditions)


def _conditions(criteria: tuple[Criteria, ...], without: set[str]) -> list[Test]:
    """Return the tests of the criteria that say anything. Their excluded items are added to `without`."""
    conditions: list[Test] = []
    for one in criteria:
        if one.without_items:
            without.update(one.without_items)  # one look into a set, instead of a search for each item
            one = msgspec.structs.replace(one, without_items=())
        if one != NO_CRITERIA:
            conditions.append(_quick(one).matches)
    return conditions


def _quick(criteria: Criteria) -> Criteria:
    """Return criteria that give the same answers, with sets in place of long tuples.

    A list may look at thousands of items, and a stranger may send hundreds of names.
    """
    named: dict[str, Any] = {name: frozenset(names) for name in _NAMED if len(names := getattr(criteria, name)) > FEW}
    if any(len(values) > FEW for values in criteria.attributes.values()):
        named["attributes"] = {name: frozenset(values) for name, values in criteria.attributes.items()}
    return msgspec.structs.replace(criteria, **named) if named else criteria
