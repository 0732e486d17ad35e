"""Explained: why each item of a list stands there, computed when it is asked for.

Arrives: a draft and its chosen items. Leaves: a short reason and the evidence of each item. Next: `serving.recommend`
puts them into the answer.

The ranker says which events of the shopper carried the score (`serving.evidence`). Where it is away, or has nothing to
say of an item, the reason is what Redis can show (`serving.explain`), or what the source of the item means.
"""

from collections.abc import Mapping, Sequence

from graphstore.catalogue import Item
from serving import explain
from serving.evidence import ItemEvidence, carrier_keys, tell
from serving.online.protocol import MAX_EVIDENCE, RankRequest
from serving.rules.candidate import Chosen
from serving.shop_lists.lists import ShopEntry
from serving.slots.draft import Draft
from serving.slots.ranked import ask, session_of
from serving.slots.slot import Kind

Why = tuple[str | None, ItemEvidence | None]

NOT_EXPLAINED: Why = (None, None)
"""Of an item of a list that is not explained."""

BY_SOURCE: Mapping[str, str] = {
    "popular": "popular",
    "best_sellers": "best seller",
    "trending": "trending now",
    "buy_again": "bought before, and due again",
    "recently_viewed": "looked at lately",
    "new": "new",
    "given": "as asked for",
    "catalogue": "can be bought now",
}
"""The reason by source, where nothing of the shopper is known."""
PERSONAL = "picked for you"


def explained(draft: Draft, chosen: Sequence[Chosen]) -> list[Why]:
    """Return the reason and the evidence of each item."""
    found = _by_ranker(draft, chosen)
    reasons = [reason for reason, _ in found]
    visit = draft.visit
    if visit.user_id is not None and draft.version and not all(reasons):
        items = [one.candidate.item for one in chosen]
        cheap = explain.reasons(visit.store.redis, visit.store.lists, draft.version, visit.user_id, items, otherwise="")
        reasons = [reason or other for reason, other in zip(reasons, cheap, strict=True)]
    about = _about(draft)
    return [
        (reason or about.get(one.candidate.item.item_key) or _by_source(draft, one), evidence)
        for one, reason, (_, evidence) in zip(chosen, reasons, found, strict=True)
    ]


def _by_ranker(draft: Draft, chosen: Sequence[Chosen]) -> list[Why]:
    """Return what the ranker knows of the items. Without a shopper and without a session there is nothing to know."""
    request, store = draft.request, draft.visit.store
    answer = None
    if chosen and draft.version and (request.user_id or request.session or request.cart):
        wanted = RankRequest(
            model_version=draft.version,
            user_id=request.user_id,
            session=session_of(draft),
            candidates=tuple(one.candidate.item.item_id for one in chosen),
            k=len(chosen),
            evidence=min(len(chosen), MAX_EVIDENCE),
        )
        answer = ask(draft, wanted)
    evidence = () if answer is None else answer.evidence
    keys = carrier_keys(evidence)
    names = {item.item_key: item for item in store.items.by_key(keys) if item is not None}
    together = _together(draft, [item.item_id for item in names.values()])
    return [(told.reason, told.evidence) for told in tell(chosen, evidence, names, together)]


def _together(draft: Draft, item_ids: list[str]) -> dict[str, dict[int, int]]:
    """Return by item id how many shoppers bought it and another item, by the other's key."""
    lists: list[list[ShopEntry]] = draft.visit.store.shop.together(item_ids) if item_ids else []
    return {
        item_id: {item_key: shoppers for item_key, _, shoppers in entries}
        for item_id, entries in zip(item_ids, lists, strict=True)
    }


def _about(draft: Draft) -> dict[int, str]:
    """Return the reasons of a list about items: how many bought both. The count is the largest of all given items."""
    if draft.request.slot.kind is not Kind.BOUGHT_TOGETHER:
        return {}
    pairs = _together(draft, [item.item_id for item in draft.about])
    most: dict[int, tuple[int, Item]] = {}
    for item in draft.about:
        for key, count in pairs[item.item_id].items():
            if count > most.get(key, (0, item))[0]:
                most[key] = (count, item)
    return {
        key: f"{count} shopper{'s' * (count != 1)} who bought {item.title or item.item_id} bought it"
        for key, (count, item) in most.items()
    }


def _by_source(draft: Draft, one: Chosen) -> str:
    source = one.candidate.source
    if source == Kind.SIMILAR and draft.about:
        return "like " + " and ".join(item.title or item.item_id for item in draft.about[:2])
    return BY_SOURCE.get(source, PERSONAL)
