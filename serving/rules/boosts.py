"""Boosts: multiply the odds of the items that match, or bury them.

A factor f adds log f to the score. Several boosts of one item multiply.
"""

import math
from collections.abc import Sequence

from graphstore.catalogue import Item
from serving.rules.rule_set import RuleSet


def changes(items: Sequence[Item], rules: RuleSet) -> list[float]:
    """Return what the boosts add to the score of each item [n]: above 0 a boost, below 0 a burial."""
    lifts = [(boost.items, math.log(boost.factor)) for boost in rules.boost]
    return [sum(lift for criteria, lift in lifts if criteria.matches(item)) for item in items]
