"""Recommend: returns the list of items to show to a user. Every interface calls the same functions.

Arrives: a user id and the number of items. Leaves: a `Recommendation`. Next: `serving.web.views` renders it, and
`serving.web.impressions` logs it when it was shown in a slot.

The routing says which model serves the user in the slot (`serving.routing`). All data comes from Redis: one MGET reads
the user's two lists. Titles and prices come from the worker's memory, which Redis fills.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from redis import Redis

from graphstore.catalogue import Item
from graphstore.errors import UserError
from graphstore.redis import hot
from serving import coldstart, explain, exploration
from serving.cache import ITEM_SECONDS, POINTER_SECONDS, ItemReader, ListReader
from serving.coldstart import Scored, known
from serving.routing import CHAMPION_VARIANT, Assignment, Exploration
from stream.events import utc

POPULAR = "popular"


NO_POINTER = "no model is published yet: recs:champion is not set"


class NothingPublished(UserError):
    """There is no list to serve yet. The message names the missing part."""


class UnknownItem(UserError):
    """The catalogue in Redis does not contain this item."""


@dataclass(frozen=True, slots=True)
class ListedItem:
    """An item at its position (from 0) in a list, with the fields that a page shows."""

    item_id: str
    position: int
    score: float
    title: str
    categories: Sequence[str]
    brand: str
    price: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ShownItem(ListedItem):
    """An item of a served list, with what the impression logs of it."""

    source: str
    """The source of the list, or `new` for a new item that the slot has added."""
    propensity: float
    """The probability of this item at this position, given the items before it. 1 where the slot does not explore."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A served list. `source` is nearline, batch or popular. `as_of` is the time of its computation."""

    request_id: str
    user_id: str
    model_version: str
    variant: str
    source: str
    as_of: datetime
    items: list[ShownItem]


@dataclass(frozen=True, slots=True)
class SimilarItems:
    """The items similar to one item."""

    item_id: str
    model_version: str
    items: list[ListedItem]


@dataclass(frozen=True)
class Storefront:
    """The readers of Redis: one object for a process, safe for its threads."""

    redis: Redis
    lists: ListReader
    items: ItemReader

    @classmethod
    def open(
        cls, redis: Redis, *, pointer_seconds: float = POINTER_SECONDS, item_seconds: float = ITEM_SECONDS
    ) -> "Storefront":
        """Create the readers. The worker caches pointer and items for the given times."""
        return cls(redis, ListReader(redis, pointer_seconds), ItemReader(redis, item_seconds))


def served_model(store: Storefront) -> str:
    """Return the champion's version. Raises `NothingPublished`."""
    version = store.lists.champion()
    if version is None:
        raise NothingPublished(NO_POINTER)
    return version


def assigned(store: Storefront, user_id: str, slot: str | None) -> Assignment:
    """Return the variant and the model of a user in a slot. Raises `NothingPublished`.

    The champion takes the place of a model without any list: the routing may be a moment older than the lists.
    """
    assignment = store.lists.assign(user_id, slot)
    if assignment is None:
        raise NothingPublished(NO_POINTER)
    champion = served_model(store)
    if assignment.model_version != champion and store.lists.popular(assignment.model_version) is None:
        return Assignment(CHAMPION_VARIANT, champion)
    return assignment


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
        model_version=version,
        variant=assignment.variant,
        source=source,
        as_of=as_of,
        items=[
            ShownItem(*_fields(position, scored, reason), *how_shown)
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
) -> tuple[str, int, float, str, Sequence[str], str, float | None, str | None]:
    """Return the fields of `ListedItem`, in order."""
    item, score = scored
    return item.item_id, position, score, item.title, item.categories, item.brand, item.price, reason
