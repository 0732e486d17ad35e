"""What lists are made from, read from SQL: shoppers, their histories, items, counts, and which bundle is whose.

Arrives: an engine. Leaves: plain rows. Next: `serving.publisher` and `serving.nearline`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, select

from graphstore import queries
from graphstore.arrays import IntArray
from graphstore.catalogue import Item
from graphstore.queries import HistoryRow
from graphstore.session import read
from graphstore.tables import erasures, models
from graphstore.upserts import erased_of

HISTORY_LIMIT = 500
"""Newest events of a shopper that a list is made from: it bounds what one very busy shopper costs."""


@dataclass(frozen=True)
class ShopSource:
    """Reads of the graph, each in a transaction of its own; a shopper's history is their newest `history_limit`."""

    engine: Engine
    history_limit: int = HISTORY_LIMIT

    def users(self) -> list[tuple[int, str]]:
        """(user_key, user_id) of every shopper."""
        with read(self.engine) as connection:
            return queries.all_users(connection)

    def items(self) -> list[Item]:
        """Every item."""
        with read(self.engine) as connection:
            return queries.all_items(connection)

    def histories(self, user_keys: Sequence[int]) -> list[list[HistoryRow]]:
        """The histories of shoppers, in their order."""
        with read(self.engine) as connection:
            found = queries.user_histories(connection, user_keys, self.history_limit)
        return [found[key] for key in user_keys]

    def histories_of(self, user_ids: Sequence[str]) -> Mapping[str, list[HistoryRow]]:
        """The histories of those shoppers that exist, by user_id."""
        with read(self.engine) as connection:
            keys = queries.user_keys(connection, user_ids)
            found = queries.user_histories(connection, list(keys.values()), self.history_limit)
        return {user_id: found[key] for user_id, key in keys.items()}

    def bucket_counts(self, since_ms: int) -> tuple[IntArray, IntArray, IntArray]:
        """Hours, item keys and counts of the hourly buckets from then on."""
        with read(self.engine) as connection:
            return queries.item_bucket_counts(connection, since_ms)

    def erased(self, user_ids: Sequence[str] | None = None) -> set[str]:
        """Those of the shoppers who were forgotten; None: everybody who was."""
        with read(self.engine) as connection:
            if user_ids is None:
                return set(connection.scalars(select(erasures.c.user_id)))
            return erased_of(connection, user_ids)

    def bundle(self, model_version: str) -> Path | None:
        """Where a model's bundle lies; None for a version that the registry does not know."""
        with read(self.engine) as connection:
            path = connection.scalar(select(models.c.bundle).where(models.c.model_version == model_version))
        return None if path is None else Path(path)

    def champion(self) -> tuple[str, Path] | None:
        """The model that the registry wants served, with its bundle; None before the first."""
        query = select(models.c.model_version, models.c.bundle).where(models.c.status == "champion")
        with read(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.model_version, Path(row.bundle))
