"""Select: applies all rules of a slot to candidates, and fills the positions of the list.

Arrives: candidates, the slot's rules, the request's context. Leaves: `Chosen` values, one for each position.
Next: `serving.recommend` shows them, `serving.web.impressions` logs their propensities.
"""

from collections.abc import Sequence

from serving.routing import Exploration
from serving.rules.candidate import Candidate, Chosen
from serving.rules.context import RuleContext
from serving.rules.rule_set import RuleSet

NO_EXPLORATION = Exploration()


def select(
    candidates: Sequence[Candidate],
    rules: RuleSet,
    context: RuleContext,
    *,
    k: int,
    exploration: Exploration = NO_EXPLORATION,
    seed: int = 0,
) -> list[Chosen]:
    """Return the `k` items of the list, or fewer when fewer candidates may be shown.

    Args:
        candidates: The items, in any order; equal scores keep the order given. Those of the source `new` are shown
            only where `exploration.new_items` draws them.
        rules: The rules of the slot.
        context: The request and its shopper.
        k: The length of the list.
        exploration: How the slot deviates from the best order.
        seed: Decides what exploration draws.
    """
    kept = [candidate for candidate in candidates if candidate.item.available and candidate.source != "new"]
    kept.sort(key=lambda candidate: (candidate.tier, -candidate.score))
    return [Chosen(candidate, candidate.score, 1.0) for candidate in kept[:k]]
