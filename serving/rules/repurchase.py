"""Re-purchase: when it is time to offer an item again that the shopper has bought.

An item is due when its last purchase is at least as many days ago as its category needs. The days of a category come
from the slot (`repurchase_days`), else from what purchases have taught (`RuleContext.repurchase`). Categories go from
wide to narrow, and the narrowest one that is known decides. Where nothing is known, an item is always due: the model
already knows whether shoppers repeat it.
"""

import math
from collections.abc import Iterable

from graphstore.catalogue import Item
from serving.rules.context import DAY_MS, RuleContext
from serving.rules.rule_set import RuleSet


def days_of(item: Item, rules: RuleSet, context: RuleContext) -> float | None:
    """Return the days between two purchases of the item, or None when neither slot nor purchases tell."""
    for known in (rules.repurchase_days, context.repurchase):
        for category in reversed(item.categories):
            if (days := known.get(category)) is not None:
                return float(days)
    return None


def is_due(item: Item, last: int, rules: RuleSet, context: RuleContext) -> bool:
    """Return whether an item that was last bought at this time (epoch ms) may be offered again."""
    days = days_of(item, rules, context)
    return days is None or context.now - last >= days * DAY_MS


def due_items(items: Iterable[Item], rules: RuleSet, context: RuleContext) -> list[tuple[Item, float]]:
    """Return the bought items that are due, with a score, the most overdue first.

    The score is log((1 + days since the purchase) / (1 + days of the category)), at least 0 for a due item. An item of
    which no days are known comes after them, the newest purchase first. Without the rule `repurchase`, every bought
    item is due.
    """
    found = []
    for item in items:
        last = context.bought.get(item.item_id)
        if last is None or (rules.repurchase and not is_due(item, last, rules, context)):
            continue
        since = math.log1p(max(0, context.now - last) / DAY_MS)
        days = days_of(item, rules, context)
        found.append((item, -since if days is None else since - math.log1p(days), days is None))
    found.sort(key=lambda entry: (entry[2], -entry[1], entry[0].item_key))
    return [(item, score) for item, score, _ in found]
