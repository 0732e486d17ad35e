"""Quotas: at least so many matching items in a list.

The best items that a quota still needs are reserved. The list is free to show others first, as long as enough
positions are left for the reserved ones; then only those may come. Caps count a reserved item at once, so no other
item can take its room. A quota that cannot be met within the caps is met as far as possible; of two quotas without
room for both, the first one of the file comes first.

Rejected: to count only at the end of the list. A variant of the needed item at the first position would take its
place, and the quota could no longer be met.
"""

from collections.abc import Sequence

from graphstore.arrays import BoolArray
from graphstore.catalogue import Item
from serving.rules.caps import Caps
from serving.rules.known import known
from serving.rules.rule_set import RuleSet


class Quotas:
    """The quotas of a list of candidates [n], best first, and what they still need."""

    def __init__(self, items: Sequence[Item], rules: RuleSet) -> None:
        facts = known(rules).facts(items) if rules.quota else []
        self._matching = [
            {row: None for row, fact in enumerate(facts) if fact.quotas[number]} for number in range(len(rules.quota))
        ]
        self._needs = [quota.at_least for quota in rules.quota]

    def place(self, row: int) -> bool:
        """Count an item of the list. Return whether a quota still needed one like it."""
        needed = False
        for number, rows in enumerate(self._matching):
            if row in rows:
                needed = needed or self._needs[number] > 0
                self._needs[number] -= 1
        return needed

    def reserve(self, left: BoolArray, caps: Caps, most: int) -> list[int]:
        """Return at most `most` of the rows left [n] that the quotas need, and take their room in the caps."""
        reserved: list[int] = []
        for rows, need in zip(self._matching, self._needs, strict=True):
            missing = need - sum(row in rows for row in reserved)
            for row in rows:
                if missing <= 0 or len(reserved) >= most:
                    break
                if left[row] and row not in reserved and caps.fits(row):
                    caps.take(row)
                    reserved.append(row)
                    missing -= 1
        return reserved
