"""Session lift: who looks at several items of a category wants its other items, too.

A category of which the session touched n items, `ENOUGH` or more, multiplies the odds of its other items by n, at most
by `MOST`. Categories go from wide to narrow, and the narrowest one with enough items decides. The rule is for scores
that do not know the session, such as those of a stored list: the ranker counts the session by itself.
"""

import math
from collections import Counter
from collections.abc import Sequence

from graphstore.catalogue import Item
from serving.rules.context import RuleContext

ENOUGH = 3
"""Touched items of a category that lift it."""
MOST = 8
"""The largest factor."""


def changes(items: Sequence[Item], context: RuleContext) -> list[float]:
    """Return what the session adds to the score of each item [n]: 0, or more."""
    touched = {item.item_id: item for item in context.session}
    counts = Counter(category for item in touched.values() for category in set(item.categories))
    lifts = {category: math.log(min(count, MOST)) for category, count in counts.items() if count >= ENOUGH}
    if not lifts:
        return [0.0] * len(items)
    return [0.0 if item.item_id in touched else _lift(item, lifts) for item in items]


def _lift(item: Item, lifts: dict[str, float]) -> float:
    return next((lifts[category] for category in reversed(item.categories) if category in lifts), 0.0)
