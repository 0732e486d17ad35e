"""Publication: writes all lists of one model under its version, before any reader gets them.

Arrives: a model that is up to date, and the shop in SQL. Leaves: `recs:{version}:*`, `similar:{version}:*`, the popular
list, vectors and missing items. Next: `serving.publisher` switches readers to them (`serving.switch`).

The lists of the shoppers are made block by block, by the model here or by whoever is given (`MakeLists`): the workers
of a Ray make them in `serving.ray_lists`. Only this module writes them.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from redis import Redis

from graphstore.catalogue import Item
from graphstore.queries import HistoryRow
from graphstore.redis import item_store
from serving import cache
from serving.forget import drop_lists_of_erased
from serving.ranker import Ranker, rank
from serving.shop_lists.vectors import write_vectors

BLOCK_USERS = 1024
"""The number of users scored and written together. It bounds the memory, and the time until a stop takes effect."""

Block = Sequence[int]
"""The user keys of a block."""
Made = Generator[tuple[int, list[bytes]], None, None]
"""The number of a block, from 0, and the packed list of each of its users, in any order of the blocks."""
MakeLists = Callable[[Sequence[Block], Callable[[], None]], Made]
"""Makes the lists of all blocks. Its second argument is called while it waits; what that raises ends it."""


class Histories(Protocol):
    """The source of users' events. `serving.source.ShopSource` implements it."""

    def histories(self, user_keys: Sequence[int]) -> list[list[HistoryRow]]:
        """Return the histories in the order of `user_keys`."""
        ...


class Shop(Histories, Protocol):
    """The source of a publication's data. `serving.source.ShopSource` implements it."""

    def users(self) -> list[tuple[int, str]]:
        """Return (user_key, user_id) of every user."""
        ...

    def items(self) -> list[Item]:
        """Return all items."""
        ...

    def erased(self, user_ids: Sequence[str] | None = None) -> set[str]:
        """Return the forgotten users among `user_ids`. With None, return all forgotten users."""
        ...


@dataclass(frozen=True)
class Publication:
    """The result of a publication. `as_of` is epoch ms."""

    model_version: str
    as_of: int
    users: int
    items: int


@dataclass(frozen=True)
class ListLimits:
    """The lengths of the lists."""

    k: int
    """Items in a user's list."""
    similar_k: int
    """Items in a list of similar items."""
    block_users: int = BLOCK_USERS
    """The number of users scored and written together. It bounds the memory."""


def publish(
    ranker: Ranker,
    shop: Shop,
    redis: Redis,
    limits: ListLimits,
    *,
    as_of: int,
    make: MakeLists | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Publication:
    """Write all lists of a model. No reader sees them before `serving.switch.switch`.

    Args:
        ranker: The model to publish.
        shop: The source of users, histories and items.
        redis: Receives the lists.
        limits: The lengths of the lists.
        as_of: The time of the lists (epoch ms). Later events are ignored.
        make: Makes the lists of the users. None: this ranker does.
        progress: `progress(done, total)` is called after each block of users, and in between by a `make` that waits. It
            may raise to stop.

    Raises:
        ValueError: The model version is not allowed in a key.
        redis.RedisError: Redis failed. Errors of `shop`, `make` and `progress` are raised, too.
    """
    version = cache.check_version(ranker.model_version)
    k, block_users = limits.k, limits.block_users
    users = shop.users()
    blocks = [users[start : start + block_users] for start in range(0, len(users), block_users)]
    done = 0
    make = make or partial(_lists_here, ranker, shop, as_of=as_of, k=k)
    with closing(make([[key for key, _ in block] for block in blocks], lambda: progress(done, len(users)))) as made:
        for number, packed in made:
            names = [cache.recs_key(version, user_id) for _, user_id in blocks[number]]
            cache.write_lists(redis, dict(zip(names, packed, strict=True)))
            done += len(names)
            progress(done, len(users))
    similar = cache.pack_rows(*ranker.similar(limits.similar_k), ranker.item_keys, as_of=as_of)
    names = [cache.similar_key(version, item_id) for item_id in ranker.item_ids]
    cache.write_lists(redis, dict(zip(names, similar, strict=True)))
    write_vectors(redis, ranker)
    cache.write_lists(redis, {cache.popular_key(version): rank(ranker, [[]], as_of=as_of, k=k)[0]})
    items = shop.items()
    for start in range(0, len(items), block_users):
        # A worker keeps what the catalogue says; what was read above may be older.
        item_store.add_items(redis, items[start : start + block_users])
    # All forgotten users, not only those among `users`: an earlier try may have been killed before this line.
    drop_lists_of_erased(redis, shop, [version])
    progress(len(users), len(users))  # the last chance to stop
    return Publication(version, as_of, users=len(users), items=len(items))


def lists_of(ranker: Ranker, shop: Histories, block: Block, *, as_of: int, k: int) -> list[bytes]:
    """Return the packed lists of a block at the time `as_of` (epoch ms), from the events before it.

    Near-line handles events from `as_of` on, because its lists are newer.
    """
    past = [[row for row in rows if row[1] < as_of] for rows in shop.histories(block)]
    return rank(ranker, past, as_of=as_of, k=k)


def _lists_here(
    ranker: Ranker, shop: Histories, blocks: Sequence[Block], _wait: Callable[[], None], *, as_of: int, k: int
) -> Made:
    for number, block in enumerate(blocks):
        yield number, lists_of(ranker, shop, block, as_of=as_of, k=k)
