"""Filters: which items a list may show at all.

An item passes when it can be bought now, matches the slot's `only` and the request's criteria, is not in the cart
(unless the slot offers the cart), was not bought in the last `bought_within_days`, and is due again
(`serving.rules.repurchase`).
"""

from collections.abc import Callable
from typing import Any

import msgspec

from graphstore.catalogue import Item
from serving.rules import repurchase
from serving.rules.context import DAY_MS, RuleContext
from serving.rules.criteria import NO_CRITERIA, Criteria
from serving.rules.rule_set import RuleSet

Test = Callable[[Item], bool]
FEW = 8
"""A tuple of so many names is searched as fast as a set, and needs no set to be made."""
_NAMED = ("categories", "brands", "without_categories", "without_brands")


def passes(rules: RuleSet, context: RuleContext) -> Test:
    """Return the test of an item under the slot's rules."""
    without = _in_cart(rules, context)
    if rules.bought_within_days is not None:
        oldest = context.now - rules.bought_within_days * DAY_MS
        without |= {item_id for item_id, last in context.bought.items() if last > oldest}
    bought = context.bought if rules.repurchase else {}
    allowed = _test((rules.only, *context.criteria), without)
    if not bought:
        return allowed

    def test(item: Item) -> bool:
        if not allowed(item):
            return False
        last = bought.get(item.item_id)
        return last is None or repurchase.is_due(item, last, rules, context)

    return test


def passes_as_pin(rules: RuleSet, context: RuleContext) -> Test:
    """Return the test of a pinned item: the slot's `only` and purchases do not count."""
    return _test(context.criteria, _in_cart(rules, context))


def _in_cart(rules: RuleSet, context: RuleContext) -> set[str]:
    return set() if rules.offer_cart else set(context.cart)


def _test(criteria: tuple[Criteria, ...], without: set[str]) -> Test:
    """Return the test for availability, criteria and excluded items. Without conditions it costs next to nothing."""
    conditions = []
    for one in criteria:
        if one.without_items:
            without.update(one.without_items)  # one look into a set, instead of a search for each item
            one = msgspec.structs.replace(one, without_items=())
        if one != NO_CRITERIA:
            conditions.append(_quick(one).matches)
    if not conditions:
        return lambda item: item.available and item.item_id not in without
    return lambda item: item.available and item.item_id not in without and all(matches(item) for matches in conditions)


def _quick(criteria: Criteria) -> Criteria:
    """Return criteria that give the same answers, with sets in place of long tuples.

    A list may look at thousands of items, and a stranger may send hundreds of names.
    """
    named: dict[str, Any] = {name: frozenset(names) for name in _NAMED if len(names := getattr(criteria, name)) > FEW}
    if any(len(values) > FEW for values in criteria.attributes.values()):
        named["attributes"] = {name: frozenset(values) for name, values in criteria.attributes.items()}
    return msgspec.structs.replace(criteria, **named) if named else criteria
