"""Explained: why each item of a list stands there, computed when it is asked for.

Arrives: a draft and its chosen items. Leaves: a short reason and the evidence of each item. Next: `serving.recommend`
puts them into the answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from serving import explain
from serving.rules.candidate import Chosen
from serving.slots.draft import Draft

Told = tuple[str | None, Mapping[str, Any] | None]

NOT_EXPLAINED: Told = (None, None)

BY_SOURCE = {
    "popular": "popular",
    "best_sellers": "best seller",
    "trending": "trending now",
    "buy_again": "bought before, and time to buy it again",
    "recently_viewed": "looked at lately",
    "similar": "like what you look at",
    "bought_together": "bought together with it",
    "new": "new",
    "pin": "chosen by the shop",
    "catalogue": "can be bought now",
}
"""The reason by source, where no evidence of the shopper is known."""
PERSONAL = "picked for you"


def explained(draft: Draft, chosen: Sequence[Chosen]) -> list[Told]:
    """Return the reason and the evidence of each item."""
    visit = draft.visit
    items = [one.candidate.item for one in chosen]
    known: list[str | None] = [None] * len(items)
    if visit.user_id is not None and draft.version:
        store = visit.store
        known = list(explain.reasons(store.redis, store.lists, draft.version, visit.user_id, items, otherwise=""))
    return [
        (reason or BY_SOURCE.get(one.candidate.source, PERSONAL), None)
        for one, reason in zip(chosen, known, strict=True)
    ]
