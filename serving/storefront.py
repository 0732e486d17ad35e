"""Storefront: the readers that a process needs to make lists.

Arrives: a connection to Redis, and the ranker's address where there is one. Leaves: a `Storefront`. Next:
`serving.recommend` makes lists with it.
"""

from dataclasses import dataclass, field

from redis import Redis

from graphstore.errors import UserError
from serving.cache import ITEM_SECONDS, POINTER_SECONDS, ItemReader, ListReader
from serving.online.client import RankerClient
from serving.routing import CHAMPION_VARIANT, Assignment
from serving.shop_lists.reader import ShopLists

NO_POINTER = "no model is published yet: recs:champion is not set"


class NothingPublished(UserError):
    """There is no list to serve yet. The message names the missing part."""


class UnknownItem(UserError):
    """The catalogue in Redis does not contain this item."""


def _no_ranker() -> RankerClient:
    return RankerClient("", timeout_ms=1)


@dataclass(frozen=True)
class Storefront:
    """The readers of Redis, and the client of the ranker: one object for a process, safe for its threads."""

    redis: Redis
    lists: ListReader
    items: ItemReader
    shop: ShopLists
    ranker: RankerClient = field(default_factory=_no_ranker)

    @classmethod
    def open(
        cls,
        redis: Redis,
        *,
        pointer_seconds: float = POINTER_SECONDS,
        item_seconds: float = ITEM_SECONDS,
        ranker: RankerClient | None = None,
    ) -> "Storefront":
        """Create the readers. The process caches pointer and items for the given times. None: no ranker is asked."""
        lists, items = ListReader(redis, pointer_seconds), ItemReader(redis, item_seconds)
        return cls(redis, lists, items, ShopLists(redis), ranker or _no_ranker())


def served_model(store: Storefront) -> str:
    """Return the champion's version. Raises `NothingPublished`."""
    version = store.lists.champion()
    if version is None:
        raise NothingPublished(NO_POINTER)
    return version


def assigned(store: Storefront, user_id: str | None, slot: str | None) -> Assignment:
    """Return the variant and the model of a user in a slot. Raises `NothingPublished`.

    A session that nobody stores gets the champion: its lists are in no experiment, because they are not logged. The
    champion takes the place of a model without any list: the routing may be a moment older than the lists.
    """
    if user_id is None:
        return Assignment(CHAMPION_VARIANT, served_model(store))
    assignment = store.lists.assign(user_id, slot)
    if assignment is None:
        raise NothingPublished(NO_POINTER)
    champion = served_model(store)
    if assignment.model_version != champion and store.lists.popular(assignment.model_version) is None:
        return Assignment(CHAMPION_VARIANT, champion)
    return assignment
