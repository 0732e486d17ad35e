"""Fill: makes one list. Its kind proposes items, the rules choose among them, and the fallbacks fill what is missing.

Arrives: a draft. Leaves: a `Filled` list. Next: `serving.recommend` writes it into the answer.

What is proposed later stands below what is proposed before (`Candidate.tier`), unless a quota or a cap needs it. A
source is asked only when those before it leave the list too short, miss a quota, or break a cap.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec

from graphstore.catalogue import Item
from serving.exploration import NEW
from serving.routing import Exploration
from serving.rules.candidate import CAP_RELAXED, PIN, Candidate, Chosen
from serving.rules.known import known
from serving.rules.pins import pinned
from serving.rules.rule_set import NO_RULES, RuleSet
from serving.rules.select import Passed, arrange
from serving.slots.draft import Batch, Draft
from serving.slots.kinds import KINDS
from serving.slots.slot import Kind
from stream.events import utc

NO_EXPLORATION = Exploration()
NO_REPURCHASE = RuleSet(repurchase=False)


@dataclass(frozen=True, slots=True)
class Filled:
    """The chosen items, and what the answer says of them."""

    chosen: list[Chosen]
    as_of: datetime
    source: str
    """Of the first item that a kind has proposed. Empty for an empty list."""
    proposed: bool
    """Whether any source has proposed anything, allowed or not."""


def fill(draft: Draft, *, exploration: Exploration = NO_EXPLORATION, seed: int = 0) -> Filled:
    """Return the list of the draft: full, as long as enough items may be shown."""
    explores = exploration != NO_EXPLORATION
    if not explores and (quick := first_of_stored(draft)) is not None:
        return quick
    request, rules = draft.request, draft.request.slot.rules
    pool: dict[int, Candidate] = {}
    new = draft.newest() if exploration.new_items > 0 else []
    times: dict[str, datetime] = {}
    chosen: list[Chosen] = []
    arranged_of: tuple[int, bool] | None = None  # what `chosen` was made of: a source that adds nothing changes nothing
    proposed = False
    for tier, batch in _batches(draft):
        proposed = proposed or bool(batch.candidates)
        for candidate in draft.kept(batch.candidates):
            key = candidate.item.item_key
            if key not in pool:
                pool[key] = candidate if tier == 0 else msgspec.structs.replace(candidate, tier=tier)
                times.setdefault(candidate.source, batch.as_of)
        there = (len(pool), draft.session_counted)
        if len(pool) < request.k or there == arranged_of:
            continue
        chosen, arranged_of = _arranged(draft, [*pool.values()], new, exploration, seed), there
        if len(chosen) >= request.k and not _wants_more(chosen, rules):
            break
    else:
        if arranged_of != (len(pool), draft.session_counted):
            chosen = _arranged(draft, [*pool.values()], new, exploration, seed)
    source = next((one.candidate.source for one in chosen if one.candidate.source not in (NEW, PIN)), "")
    return Filled(chosen, times.get(source, draft.visit.now), source, proposed)


def _arranged(
    draft: Draft, candidates: list[Candidate], new: list[Candidate], exploration: Exploration, seed: int
) -> list[Chosen]:
    """Return the list of the candidates, which the draft has filtered."""
    rules, k = draft.request.slot.rules, draft.request.k
    context = draft.context_for([*candidates, *new])
    fixed = pinned(candidates, rules, context, k) if rules.pin else {}
    return arrange(Passed(candidates, new, fixed), rules, context, k=k, exploration=exploration, seed=seed)


def _batches(draft: Draft) -> Iterator[tuple[int, Batch]]:
    """Yield all batches with their tier: those of the kind, then those of each fallback."""
    slot, tier = draft.request.slot, -1
    for kind in dict.fromkeys((slot.kind, *slot.fallback)):
        for batch in KINDS[kind](draft):
            tier += not batch.goes_on
            yield tier, batch


def _wants_more(chosen: list[Chosen], rules: RuleSet) -> bool:
    """Return whether another source may make a full list better: it breaks a cap, or misses a quota."""
    if any(CAP_RELAXED in one.rules for one in chosen):
        return True
    if not rules.quota:
        return False
    facts = known(rules).facts([one.candidate.item for one in chosen])
    return any(sum(fact.quotas[number] for fact in facts) < quota.at_least for number, quota in enumerate(rules.quota))


def first_of_stored(draft: Draft) -> Filled | None:
    """Return the first items of the shopper's stored list that may be shown, when nothing changes their order.

    It gives what the rest of this module would give, and reads no more of the list than it shows: most requests end
    here. None: the list must be made.
    """
    request, visit = draft.request, draft.visit
    if request.slot.kind is not Kind.FOR_YOU or request.session or request.cart or request.items:
        return None
    rules = request.slot.rules
    if rules is not NO_RULES and not _only_filter(rules):
        return None
    may_show = _can_be_bought if _filters_nothing(draft) else draft.filters()
    found = visit.stored(draft.version)
    if found is None:
        return None
    source, packed = found
    chosen: list[Chosen] = []
    products: set[str] = set()
    start, length = 0, len(packed)
    while len(chosen) < request.k and start < length:
        end = start + request.k - len(chosen)
        items = visit.store.items.by_key(packed.item_keys[start:end].tolist())
        for item, score in zip(items, packed.scores[start:end].tolist(), strict=True):
            if item is None or not may_show(item):
                continue
            if item.product_id is not None:
                if item.product_id in products:
                    continue
                products.add(item.product_id)
            chosen.append(Chosen(Candidate(item, score, source), score, 1.0))
        start = end
    if len(chosen) < request.k:
        return None
    return Filled(chosen, utc(packed.as_of), source, True)


def _can_be_bought(item: Item) -> bool:
    return item.available


def _only_filter(rules: RuleSet) -> bool:
    """Return whether the rules leave items out and do nothing else."""
    moves = rules.boost or rules.pin or rules.quota or rules.diversity or rules.fatigue_after
    return not (moves or rules.per_category or rules.per_brand) and rules.per_product == 1


def _filters_nothing(draft: Draft) -> bool:
    """Return whether only the stock decides which items may be shown."""
    rules = draft.request.slot.rules
    if draft.visit.taken or draft.criteria or (rules is not NO_RULES and rules not in (NO_RULES, NO_REPURCHASE)):
        return False
    return not (rules.repurchase and draft.visit.store.shop.repurchase())
