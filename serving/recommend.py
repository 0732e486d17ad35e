"""Recommend: returns the lists of items to show. Every interface calls the same functions.

Arrives: `ListRequest` values. Leaves: a `Recommendation` for each. Next: `serving.web.views` renders it, and
`serving.web.impressions` logs it when it was shown in a slot.

The routing says which model serves the user in the slot (`serving.routing`). All data comes from Redis: one MGET reads
the user's two lists. Titles and prices come from the worker's memory, which Redis fills.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from graphstore.catalogue import Item
from graphstore.redis import hot
from serving import coldstart, explain, exploration
from serving.coldstart import Scored, known
from serving.recommendation import ListedItem, Recommendation, ShownItem
from serving.routing import Exploration
from serving.slots.request import ListRequest
from serving.storefront import NothingPublished, Storefront, UnknownItem, assigned, served_model
from stream.events import utc

__all__ = [
    "ListedItem",
    "NothingPublished",
    "Recommendation",
    "ShownItem",
    "Storefront",
    "UnknownItem",
    "assigned",
    "served_model",
]

POPULAR = "popular"


@dataclass(frozen=True, slots=True)
class SimilarItems:
    """The items similar to one item."""

    item_id: str
    model_version: str
    items: list[ListedItem]


def serve(store: Storefront, requests: Sequence[ListRequest], *, now: datetime) -> list[Recommendation]:
    """Return the list of each request, in their order. No item is in two of them; the first list has the first choice.

    Raises:
        NothingPublished: No list exists yet.
        redis.RedisError: Redis failed.
    """
    return [
        recommendations(
            store,
            request.user_id or "",
            k=request.k,
            explained=request.explain,
            now=now,
            slot=request.name,
            request_id=request.request_id,
        )
        for request in requests
    ]


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
    """Return the best `k` items for a user, or fewer when the list has fewer available items. The user may be unknown.

    Args:
        store: The readers of Redis.
        user_id: The user.
        k: The number of items.
        explained: Add a reason to each item.
        now: The time of the request. It is the list's time when the list comes from the trend.
        slot: The place where the list is shown. It decides, with the user, which model and variant is served, and
            whether the order is explored. A list that is not shown is never explored.
        request_id: The id of the answer. With None, a new one is made. It is the seed of the exploration.

    Raises:
        NothingPublished: No list exists yet.
        redis.RedisError: Redis failed.
        serving.cache.MalformedList: The bytes in Redis are not a list.
    """
    assignment = assigned(store, user_id, slot)
    version = assignment.model_version
    request_id = request_id or str(uuid.uuid4())
    exploring = slot is not None and exploration.explores(assignment.exploration)
    source, as_of, chosen = POPULAR, now, list[Scored]()
    if found := store.lists.of_user(version, user_id):
        source, packed = found
        as_of = utc(packed.as_of)
        length = len(packed) if exploring else k
        chosen = _first(store, packed.item_keys.tolist(), packed.scores.tolist(), length)
    if not chosen:
        source = POPULAR
        as_of, chosen = coldstart.for_the_unknown(store.redis, store.lists, store.items, version, count=k, now=now)
    if not chosen:
        raise NothingPublished(f"model {version} has no list for {user_id!r}, and nothing is trending")
    how = assignment.exploration if exploring else Exploration()
    chosen, logged = _drawn(store, chosen, source, how, count=k, seed=exploration.seed_of(request_id))
    reasons: Sequence[str | None] = [None] * len(chosen)
    if explained:
        items = [item for item, _ in chosen]
        otherwise = "popular" if source == POPULAR else "picked for you"
        reasons = explain.reasons(store.redis, store.lists, version, user_id, items, otherwise=otherwise)
    return Recommendation(
        request_id=request_id,
        user_id=user_id,
        slot=slot,
        model_version=version,
        variant=assignment.variant,
        source=source,
        as_of=as_of,
        degraded=None,
        items=[
            ShownItem(*_fields(position, scored, reason), *how_shown, None)
            for position, (scored, reason, how_shown) in enumerate(zip(chosen, reasons, logged, strict=True))
        ],
    )


def _drawn(
    store: Storefront, listed: list[Scored], source: str, how: Exploration, *, count: int, seed: int
) -> tuple[list[Scored], list[tuple[str, float]]]:
    """Return the first `count` items after exploration, each with its source and its propensity.

    A new item has the score 0, because no model has put it there.
    """
    if not exploration.explores(how):
        return listed[:count], [(source, 1.0)] * len(listed[:count])
    there = {item.item_key for item, _ in listed}
    new = [item for item in store.items.newest() if item.item_key not in there] if how.new_items else []
    drawn = exploration.draw([score for _, score in listed], len(new), how, count=count, seed=seed)
    every = [*listed, *((item, 0.0) for item in new)]
    sources = [source if choice < len(listed) else exploration.NEW for choice in drawn.choices]
    return [every[choice] for choice in drawn.choices], list(zip(sources, drawn.propensities, strict=True))


def similar(store: Storefront, item_id: str, *, k: int) -> SimilarItems:
    """Return the `k` items closest to one item. Raises `UnknownItem` and the errors of `recommendations`."""
    version = served_model(store)
    packed = store.lists.similar(version, [item_id])[0]
    if packed is None and hot.get_items(store.redis, [item_id]) == [None]:
        raise UnknownItem(f"no item {item_id!r}")
    chosen = [] if packed is None else _first(store, packed.item_keys.tolist(), packed.scores.tolist(), k)
    return SimilarItems(item_id=item_id, model_version=version, items=listed(chosen))


def trending(store: Storefront, window: str, *, k: int) -> list[ListedItem]:
    """Return the items with the most events in the window. The score is the number of events. Raises `ValueError`."""
    chosen = coldstart.trending(store.redis, window, 2 * k)[:k]  # twice as many, because some are not available
    return listed(chosen)


def _first(store: Storefront, item_keys: list[int], scores: list[float], k: int) -> list[Scored]:
    """Return the first `k` available items. Read only as much of the list as needed."""
    chosen: list[Scored] = []
    start = 0
    while len(chosen) < k and start < len(item_keys):
        end = start + k - len(chosen)
        items: list[Item | None] = store.items.by_key(item_keys[start:end])
        chosen += known(items, scores[start:end])
        start = end
    return chosen


def listed(chosen: Sequence[Scored], reasons: Sequence[str | None] | None = None) -> list[ListedItem]:
    """Return the items in their order with their reasons. With None, they have no reasons."""
    reasons = [None] * len(chosen) if reasons is None else reasons
    return [
        ListedItem(*_fields(position, scored, reason))
        for position, (scored, reason) in enumerate(zip(chosen, reasons, strict=True))
    ]


def _fields(
    position: int, scored: Scored, reason: str | None
) -> tuple[str, int, float, str, Sequence[str], str, float | None, str, str, str | None]:
    """Return the fields of `ListedItem`, in order."""
    item, score = scored
    shown = item.title, item.categories, item.brand, item.price, item.url, item.image_url
    return item.item_id, position, score, *shown, reason
