"""A toy shop whose right lists are known: a model that puts what a shopper touched most often first.

Items apple…elder have keys 11…15 and rows 0…4. Without a history the order is that of the rows. The items that go
with one are those that follow it, around the ring.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from copy import copy
from pathlib import Path

import numpy as np
from redis import Redis
from sqlalchemy import Engine, insert

from graphstore import ingest
from graphstore.catalogue import Item
from graphstore.redis import item_store
from graphstore.session import write
from graphstore.tables import models
from serving import cache

NAMES = ("apple", "bread", "cheese", "dates", "elder")
KEYS = np.array([11, 12, 13, 14, 15], dtype=np.int64)
ITEMS = [
    Item(int(key), name, title=name.title(), categories=["food"], brand="Toy", price=1.5)
    for key, name in zip(KEYS, NAMES, strict=True)
]
MODEL = "m1"
HISTORY_BONUS = 10.0


class ToyRanker:
    """Scores: ten for each event with the item, plus the place of the item from behind. Padded with -1 beyond five."""

    def __init__(self, model_version: str = MODEL, keys: np.ndarray = KEYS) -> None:
        self.model_version = model_version
        self.item_ids = list(NAMES)
        self.item_keys = keys
        self.num_trained = len(keys)
        self.available = np.ones(len(keys), dtype=np.bool_)
        self.as_of = 0
        self.asked_as_of: list[int] = []
        self.seen_times: list[int] = []
        self.trend: dict[int, int] = {}

    def histories(self, per_user: Sequence[Sequence[tuple[int, int, int]]]) -> Sequence[Sequence[tuple[int, int, int]]]:
        self.seen_times += [row[1] for user in per_user for row in user]
        return per_user

    def recommend(self, histories, *, as_of: int, k: int):  # type: ignore[no-untyped-def]
        self.asked_as_of.append(as_of)
        rows = np.full((len(histories), k), -1, dtype=np.int64)
        scores = np.full((len(histories), k), -np.inf, dtype=np.float32)
        for place, history in enumerate(histories):
            score = np.arange(len(self.item_keys), 0, -1, dtype=np.float32)
            for key, *_ in history:
                score[self.item_keys == key] += HISTORY_BONUS
            for key, count in self.trend.items():
                score[self.item_keys == key] += count
            order = np.argsort(-score, kind="stable")
            order = order[self.available[order]][:k]
            rows[place, : len(order)] = order
            scores[place, : len(order)] = score[order]
        return rows, scores

    def similar(self, k: int, *, start: int = 0):  # type: ignore[no-untyped-def]
        size = len(self.item_keys)
        k = min(k, size - 1)
        rows = (np.arange(size)[:, None] + 1 + np.arange(k)) % size
        scores = np.tile(np.linspace(1, 0.5, k, dtype=np.float32), (size, 1))
        return rows.astype(np.int64)[start:], scores[start:]

    def refresh_trend(self, hours, item_keys, counts) -> None:  # type: ignore[no-untyped-def]
        self.trend = {}
        for key, count in zip(item_keys.tolist(), counts.tolist(), strict=True):
            self.trend[key] = self.trend.get(key, 0) + count

    def copy(self):  # type: ignore[no-untyped-def]
        return copy(self)

    def set_available(self, available) -> None:  # type: ignore[no-untyped-def]
        self.available = available

    def extend(self, new) -> None:  # type: ignore[no-untyped-def]
        """New items come last, so they are the worst for a shopper without history."""
        known = set(self.item_keys.tolist())
        added = [item for item in new.items if item.item_key not in known]
        self.item_keys = np.append(self.item_keys, np.array([item.item_key for item in added], dtype=np.int64))
        self.item_ids = [*self.item_ids, *(item.item_id for item in added)]
        self.available = np.append(self.available, [item.available for item in added])

    def item_vectors(self) -> None:
        return None

    def rank_one(self, history, *, as_of: int, k: int, mask=None, rows=None, known=None):  # type: ignore[no-untyped-def]
        """As `Recommender.rank_one`."""
        allowed = np.ones(len(self.item_keys), dtype=np.bool_) if mask is None else mask.copy()
        if rows is not None:
            allowed &= np.isin(np.arange(len(allowed)), rows)
        if known is not None:
            allowed &= np.isin(self.item_keys, [key for key, *_ in history]) == known
        found, scores = self.recommend([history], as_of=as_of, k=len(self.item_keys))
        kept = (found[0] >= 0) & allowed[found[0]]
        return found[0][kept][:k], scores[0][kept][:k]


class ToyShop:
    """Shoppers and histories without SQL."""

    def __init__(self, histories: dict[str, list[tuple[int, int, int]]]) -> None:
        self._histories = histories

    def users(self) -> list[tuple[int, str]]:
        return list(enumerate(self._histories))

    def items(self) -> list[Item]:
        return ITEMS

    def histories(self, user_keys: Sequence[int]) -> list[list[tuple[int, int, int]]]:
        rows = list(self._histories.values())
        return [rows[key] for key in user_keys]

    def erased(self, user_ids: Sequence[str] | None = None) -> set[str]:
        return set()


def fill_redis(redis: Redis, *, as_of: int = 1_000, version: str = MODEL) -> None:
    """A published toy model with lists for ann (elder first) and nobody else."""
    ranker = ToyRanker(version)
    packed = cache.pack([15, 11, 12, 13, 14], [5, 4, 3, 2, 1], as_of=as_of)
    cache.write_lists(
        redis,
        {
            cache.recs_key(version, "ann"): packed,
            cache.popular_key(version): cache.pack(KEYS, [5, 4, 3, 2, 1], as_of=as_of),
        },
    )
    similar = cache.pack_rows(*ranker.similar(2), KEYS, as_of=as_of)
    cache.write_lists(redis, {cache.similar_key(version, name): raw for name, raw in zip(NAMES, similar, strict=True)})
    item_store.set_items(redis, ITEMS)
    redis.set(cache.CHAMPION, version)


def touch(engine: Engine, user_id: str, item_id: str, time: int) -> None:
    """One view in SQL, and the item with it."""
    with write(engine) as connection:
        event = ingest.InteractionRow(f"{user_id}-{item_id}-{time}", 0, user_id, item_id, time, None, None, None, None)
        ingest.ingest_interactions(connection, [event], now=time)


def register(engine: Engine, version: str, *, status: str = "champion") -> None:
    """A row of the registry; the bundle's directory has the version's name."""
    with write(engine) as connection:
        connection.execute(
            insert(models).values(
                model_version=version, kind="closed_form", status=status, snapshot_id="s", bundle=version, created_at=0
            )
        )


def toy_load(engine_keys: dict[str, int] | None = None):  # type: ignore[no-untyped-def]
    """A loader of toy bundles: the directory's name is the version; item keys as SQL has them, where given."""
    keys = KEYS if engine_keys is None else np.array([engine_keys.get(name, 900) for name in NAMES], dtype=np.int64)
    return lambda bundle: ToyRanker(Path(bundle).name, keys)


def toy_opened(engine_keys: dict[str, int] | None = None):  # type: ignore[no-untyped-def]
    """As `toy_load`, for the publisher, which has a model only while it publishes."""
    load = toy_load(engine_keys)
    return lambda bundle: nullcontext(load(bundle))
