"""Source: reads from SQL all data for the lists, that is users, histories, items, counts and bundles.

Arrives: an engine. Leaves: plain rows. Next: `serving.publisher` and `serving.nearline`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, select

from graphstore import queries
from graphstore.arrays import BoolArray, IntArray
from graphstore.catalogue import Item
from graphstore.queries import HistoryRow
from graphstore.session import read
from graphstore.tables import erasures, models
from graphstore.upserts import erased_of
from serving.routing_source import Wanted, wanted

HISTORY_LIMIT = 500
"""A list uses at most this number of a user's newest events. It bounds the cost of one very active user."""

NEIGHBOURHOOD_EVENTS = 2_000
NEIGHBOURHOOD_SHOPPERS = 200
NEIGHBOURHOOD_HISTORY = 50
"""The neighbourhood of new items: the shoppers of so many of their newest events, so many of these shoppers, and so
many events of each. It bounds the time until a new item can be listed."""


@dataclass(frozen=True)
class ShopSource:
    """Reads the graph, each method in its own transaction. A history is the user's newest `history_limit` events."""

    engine: Engine
    history_limit: int = HISTORY_LIMIT

    def users(self) -> list[tuple[int, str]]:
        """Return (user_key, user_id) of every user."""
        with read(self.engine) as connection:
            return queries.all_users(connection)

    def items(self) -> list[Item]:
        """Return all items."""
        with read(self.engine) as connection:
            return queries.all_items(connection)

    def histories(self, user_keys: Sequence[int]) -> list[list[HistoryRow]]:
        """Return the histories in the order of `user_keys`."""
        with read(self.engine) as connection:
            found = queries.user_histories(connection, user_keys, self.history_limit)
        return [found[key] for key in user_keys]

    def histories_of(self, user_ids: Sequence[str]) -> Mapping[str, list[HistoryRow]]:
        """Return the histories by user_id. Unknown users are left out."""
        with read(self.engine) as connection:
            keys = queries.user_keys(connection, user_ids)
            found = queries.user_histories(connection, list(keys.values()), self.history_limit)
        return {user_id: found[key] for user_id, key in keys.items()}

    def bucket_counts(self, since_ms: int) -> tuple[IntArray, IntArray, IntArray]:
        """Return hours, item keys and counts of the hourly buckets since `since_ms` (epoch ms)."""
        with read(self.engine) as connection:
            return queries.item_bucket_counts(connection, since_ms)

    def stock(self) -> tuple[IntArray, BoolArray]:
        """Return the keys of all items, ascending, and whether each can be bought now."""
        with read(self.engine) as connection:
            return queries.stock(connection)

    def items_after(self, item_key: int, limit: int | None = None) -> list[Item]:
        """Return the items with a larger key, by key, at most `limit`."""
        with read(self.engine) as connection:
            return queries.items_after(connection, item_key, limit)

    def items_by_id(self, item_ids: Sequence[str]) -> list[Item]:
        """Return the items that exist."""
        with read(self.engine) as connection:
            return queries.items_by_id(connection, item_ids)

    def items_by_key(self, item_keys: Sequence[int]) -> list[Item]:
        """Return the items that exist."""
        with read(self.engine) as connection:
            return queries.items_by_key(connection, item_keys)

    def neighbourhood(self, item_keys: Sequence[int], since_ms: int) -> list[list[HistoryRow]]:
        """Return the histories of the newest shoppers who touched one of the items since `since_ms` (epoch ms)."""
        with read(self.engine) as connection:
            shoppers = queries.shoppers_of_items(connection, item_keys, since_ms=since_ms, limit=NEIGHBOURHOOD_EVENTS)
            found = queries.user_histories(connection, shoppers[:NEIGHBOURHOOD_SHOPPERS], NEIGHBOURHOOD_HISTORY)
        return list(found.values())

    def erased(self, user_ids: Sequence[str] | None = None) -> set[str]:
        """Return the forgotten users among `user_ids`. With None, return all forgotten users."""
        with read(self.engine) as connection:
            if user_ids is None:
                return set(connection.scalars(select(erasures.c.user_id)))
            return erased_of(connection, user_ids)

    def bundle(self, model_version: str) -> Path | None:
        """Return the path of a model's bundle, or None when the registry does not know the version."""
        with read(self.engine) as connection:
            path = connection.scalar(select(models.c.bundle).where(models.c.model_version == model_version))
        return None if path is None else Path(path)

    def wanted(self, *, now: int) -> Wanted | None:
        """Return the champion and who shall get another model, or None before the first champion. `now`: epoch ms."""
        with read(self.engine) as connection:
            return wanted(connection, now=now)
