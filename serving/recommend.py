"""Recommend: returns the lists of items to show. Every interface calls the same functions.

Arrives: `ListRequest` values. Leaves: a `Recommendation` for each. Next: `serving.web.lists_door` answers with it, and
`serving.web.impressions` logs it when it was shown in a slot.

The routing says which model serves the user in the slot (`serving.routing`), the slot says what proposes the items and
which rules choose among them (`serving.slots.fill`). All data comes from Redis, and from the ranker where no stored
list answers. The usual request is one MGET: titles and prices come from the worker's memory, which Redis fills.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime

from prometheus_client import Counter

from serving import exploration
from serving.evidence import ItemEvidence
from serving.recommendation import ListedItem, Recommendation, ShownItem
from serving.routing import CHAMPION_VARIANT, Assignment
from serving.rules.candidate import Chosen
from serving.slots.defaults import DEFAULT_SLOTS, PLAIN
from serving.slots.draft import Draft, names_of
from serving.slots.explained import NOT_EXPLAINED, explained
from serving.slots.fill import NO_EXPLORATION, fill
from serving.slots.personal import POPULAR
from serving.slots.request import ListRequest
from serving.slots.slot import NEED_MODEL, Kind
from serving.slots.visit import Visit
from serving.storefront import NothingPublished, Storefront, UnknownItem, assigned, served_model

__all__ = [
    "POPULAR",
    "ListedItem",
    "NothingPublished",
    "Recommendation",
    "ShownItem",
    "Storefront",
    "UnknownItem",
    "assigned",
    "check_item",
    "recommendations",
    "serve",
    "served_model",
]


_degraded = Counter("sagestream_degraded_lists", "Lists that were answered without what they need", ["kind"])


def serve(store: Storefront, requests: Sequence[ListRequest], *, now: datetime) -> list[Recommendation]:
    """Return the list of each request, in their order. No item is in two of them; the first list has the first choice.

    Args:
        store: The readers of Redis, and the ranker.
        requests: The lists of one page.
        now: The time of the request. It is the list's time when its scores have none.

    Raises:
        NothingPublished: No list exists yet.
        redis.RedisError: Redis failed.
    """
    visits: dict[str | None, Visit] = {}
    taken: set[str] = set()
    answers: list[Recommendation] = []
    for request in requests:
        visit = visits.get(request.user_id)
        if visit is None:
            visit = visits[request.user_id] = Visit(store, request.user_id, now, taken)
        answer, chosen = _served(visit, request)
        answers.append(answer)
        if len(requests) > 1:
            taken.update(name for one in chosen for name in names_of(one.candidate.item))
    return answers


def recommendations(
    store: Storefront,
    user_id: str,
    *,
    k: int,
    explained: bool,
    now: datetime,
    slot: str | None = None,
    request_id: str | None = None,
) -> Recommendation:
    """Return the best `k` items for a user, who may be unknown: `serve` with one list, for callers without a page.

    Args:
        store: The readers of Redis, and the ranker.
        user_id: The user.
        k: The number of items.
        explained: Add a reason to each item.
        now: The time of the request.
        slot: The place where the list is shown, with the rules of the default slot of this name. It decides, with the
            user, which model and variant is served, and whether the order is explored. A list that is not shown is
            never explored.
        request_id: The id of the answer. With None, a new one is made. It is the seed of the exploration.

    Raises the errors of `serve`.
    """
    rules = PLAIN if slot is None else DEFAULT_SLOTS.get(slot, PLAIN)
    request = ListRequest(slot=rules, name=slot, k=k, user_id=user_id, explain=explained, request_id=request_id)
    return serve(store, [request], now=now)[0]


def check_item(store: Storefront, item_id: str) -> None:
    """Raise `UnknownItem` when the catalogue has no such item."""
    if store.items.by_id([item_id]) == [None]:
        raise UnknownItem(f"no item {item_id!r}")


def _served(visit: Visit, request: ListRequest) -> tuple[Recommendation, list[Chosen]]:
    assignment = _assigned(visit.store, request)
    request_id = request.request_id or str(uuid.uuid4())
    draft = Draft(visit, request, assignment.model_version)
    how, seed = NO_EXPLORATION, 0
    if request.name is not None and exploration.explores(assignment.exploration):
        how, seed = assignment.exploration, exploration.seed_of(request_id)
    filled = fill(draft, exploration=how, seed=seed)
    if not filled.proposed and request.slot.kind is Kind.FOR_YOU and not draft.reranks:
        version = assignment.model_version
        raise NothingPublished(f"model {version} has no list for {request.user_id!r}, and nothing is trending")
    why = explained(draft, filled.chosen) if request.explain else [NOT_EXPLAINED] * len(filled.chosen)
    if draft.degraded is not None:
        _degraded.labels(request.slot.kind).inc()
    answer = Recommendation(
        request_id=request_id,
        user_id=request.user_id or "",
        slot=request.name,
        model_version=assignment.model_version,
        variant=assignment.variant,
        source=filled.source,
        as_of=filled.as_of,
        degraded=draft.degraded,
        items=[
            _shown(position, one, *told) for position, (one, told) in enumerate(zip(filled.chosen, why, strict=True))
        ],
    )
    return answer, filled.chosen


def _assigned(store: Storefront, request: ListRequest) -> Assignment:
    """Return the variant and the model, no model when none is published and the slot needs none."""
    try:
        return assigned(store, request.user_id, request.name)
    except NothingPublished:
        if request.slot.kind in NEED_MODEL:
            raise
        return Assignment(CHAMPION_VARIANT, "")


def _shown(position: int, one: Chosen, reason: str | None, evidence: ItemEvidence | None) -> ShownItem:
    item, source = one.candidate.item, one.candidate.source
    # By position: names would cost as much as the rest of the call.
    return ShownItem(
        item.item_id,
        position,
        one.score,
        item.title,
        item.categories,
        item.brand,
        item.price,
        item.url,
        item.image_url,
        reason,
        source,
        one.propensity,
        evidence,
    )
