"""Event table: the interactions of a data set in order of time, and its catalogue."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from stream.events import CatalogItem, EventType, Interaction, utc

COLUMNS = ("event_id", "event_type", "user_id", "item_id", "event_time", "value", "quantity")
ORDER_COLUMNS = ("order_id", "currency")
"""Columns of texts that a table has when its files tell them; "" and a missing value are unset."""

_TYPES = {kind.value: kind for kind in EventType}


@dataclass(frozen=True)
class EventTable:
    """A data set read into memory.

    `interactions` has `COLUMNS`, sorted by `event_time` (epoch ms); `rejected` counts the rows that were left out, by
    reason.
    """

    interactions: pd.DataFrame
    items: list[CatalogItem]
    rejected: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.interactions)

    def split(self, share: float) -> int:
        """Return the row where the last `share` of the events begins. Events of the same time (a basket) are not
        cut."""
        times = self.interactions["event_time"].to_numpy()
        if not len(times):
            return 0
        row = min(int(len(times) * (1 - share)), len(times) - 1)
        return int(times.searchsorted(times[row], side="left"))

    def events(self, start: int = 0, stop: int | None = None, *, shift_ms: int = 0) -> Iterator[Interaction]:
        """Yield rows start:stop as events, with times moved by `shift_ms`."""
        return interactions(self.interactions.iloc[start:stop], shift_ms=shift_ms)


def interactions(rows: pd.DataFrame, *, shift_ms: int = 0) -> Iterator[Interaction]:
    """Yield rows of `COLUMNS`, with `ORDER_COLUMNS` where there are any, as events; times move by `shift_ms`."""
    names = [rows[name].tolist() for name in COLUMNS[:4]]
    numbers = [rows[name].to_numpy(dtype=np.float64, na_value=np.nan).tolist() for name in COLUMNS[5:]]
    orders = [_texts(rows, name) for name in ORDER_COLUMNS]
    columns = (*names, rows["event_time"].tolist(), *numbers, *orders)
    for event_id, event_type, user_id, item_id, time, value, quantity, order, currency in zip(*columns, strict=True):
        yield Interaction(
            event_id=event_id,
            event_type=_TYPES[event_type],
            user_id=user_id,
            item_id=item_id,
            event_time=utc(time + shift_ms),
            value=None if math.isnan(value) else value,
            quantity=None if math.isnan(quantity) else quantity,
            order_id=order,
            currency=currency,
        )


def _texts(rows: pd.DataFrame, name: str) -> list[str | None]:
    if name not in rows:
        return [None] * len(rows)
    return [text or None for text in rows[name].astype("string").fillna("").tolist()]


def sample_users(interactions: pd.DataFrame, users: int | None, *, min_item_users: int, seed: int) -> pd.DataFrame:
    """Return the events of `users` random users, with items that at least `min_item_users` of them touched."""
    if users is not None and users < interactions["user_id"].nunique():
        drawn = interactions["user_id"].drop_duplicates().sort_values().sample(users, random_state=seed)
        interactions = interactions[interactions["user_id"].isin(drawn)]
    if min_item_users > 1:
        pairs = interactions.drop_duplicates(["user_id", "item_id"])
        counts = pairs["item_id"].value_counts()
        interactions = interactions[interactions["item_id"].isin(counts[counts >= min_item_users].index)]
    return interactions.reset_index(drop=True)
