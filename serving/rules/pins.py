"""Pins: items that the shop has put at a position.

A pin holds while its item can be bought, the request's own criteria allow it, and it is not in the cart (unless the
slot offers the cart). The slot's `only`, purchases and fatigue do not touch it: the shop wants this item there.
"""

from serving.rules.rule_set import RuleSet


def wanted(rules: RuleSet, k: int) -> list[str]:
    """Return the ids of the items that a list of `k` positions needs, whether a model proposes them or not."""
    return [pin.item_id for pin in rules.pin if pin.position < k]
