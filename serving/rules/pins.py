"""Pins: items that the shop has put at a position.

A pin holds while its item can be bought, the request's own criteria allow it, and it is not in the cart (unless the
slot offers the cart). The slot's `only`, purchases, fatigue, category and brand do not touch it: the shop wants this
item there. Two pinned variants of one product are one too many for `per_product`: the later one does not come.
"""

from collections.abc import Sequence

from graphstore.catalogue import Item
from serving.exploration import NEW
from serving.rules import filters
from serving.rules.candidate import PIN, Candidate
from serving.rules.context import RuleContext
from serving.rules.rule_set import RuleSet


def wanted(rules: RuleSet, k: int) -> list[str]:
    """Return the ids of the items that a list of `k` positions needs, whether a model proposes them or not."""
    return [pin.item_id for pin in rules.pin if pin.position < k]


def pinned(candidates: Sequence[Candidate], rules: RuleSet, context: RuleContext, k: int) -> dict[int, Candidate]:
    """Return the pins that hold, by position, in the order of the positions.

    A pin that nothing has proposed has the source `pin` and the score 0.
    """
    known: dict[str, Item | Candidate] = {item.item_id: item for item in context.pinned}
    known |= {one.item.item_id: one for one in reversed(candidates) if one.source != NEW}
    holds = filters.passes_as_pin(rules, context)
    products: dict[str, int] = {}
    found: dict[int, Candidate] = {}
    for pin in sorted(rules.pin, key=lambda pin: pin.position):
        one = known.get(pin.item_id)
        if one is None or pin.position >= k:
            continue
        candidate = one if isinstance(one, Candidate) else Candidate(one, 0.0, PIN)
        product = candidate.item.product_id
        if not holds(candidate.item) or (product is not None and products.get(product, 0) >= rules.per_product):
            continue
        if product is not None:
            products[product] = products.get(product, 0) + 1
        found[pin.position] = candidate
    return found
