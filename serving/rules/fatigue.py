"""Fatigue: an item that a shopper was shown again and again without a click sinks.

The showing number `fatigue_after` and each further one halve the odds of the item. A click makes the count begin anew
(`RuleContext.shown`). Rejected: to leave the item out. It is in the list because the model expects a click, and in a
small shop lists would run empty.
"""

import math
from collections.abc import Sequence

from graphstore.catalogue import Item
from serving.rules.context import RuleContext
from serving.rules.rule_set import RuleSet

HALF = math.log(0.5)


def changes(items: Sequence[Item], rules: RuleSet, context: RuleContext) -> list[float]:
    """Return what fatigue adds to the score of each item [n]: 0, or less."""
    after = rules.fatigue_after
    if after is None:
        return [0.0] * len(items)
    counts = [context.shown.get(item.item_id, 0) for item in items]
    return [HALF * (count - after + 1) if count >= after else 0.0 for count in counts]
