"""Traffic: the events of a reference and of the current window as arrays, read from SQL.

Arrives: `interactions` and `items`. Leaves: `Traffic`. Next: `columns` makes of it what is compared.

A busy shop's events are sampled by a hash of the event's id, at the same rate in all windows. Rejected: every n-th key
of the table. Keys follow the order of arrival, so each n-th may always be of the same producer or partition.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, func, select

from graphstore.arrays import BoolArray, Float64Array, Int8Array, IntArray, distinct, find_sorted
from graphstore.retention import DAY_MS
from graphstore.tables import interactions, items
from monitoring.drift.references import Reference
from monitoring.windows import TimeWindow

SAMPLE_EVENTS = 250_000
"""The largest number of events that are compared. With a day of 28 this leaves 8,600 events in the current window, and
a column without drift scores about .002."""
READ_ROWS = 50_000
NO_CATEGORY = "(none)"


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Rows in the order of time; those from `first_current` on are the current window's. Arrays are [n].

    `end` is the end of the current window (epoch ms). `shoppers` are numbers of any kind. `share` is the share of all
    rows that the sample holds.
    """

    times: IntArray
    shoppers: IntArray
    first_current: int
    end: int
    share: float

    def __len__(self) -> int:
        return len(self.times)

    def window(self, window: TimeWindow) -> slice:
        """Return the rows of a window of the reference."""
        first, last = np.searchsorted(self.times[: self.first_current], [window.start, window.end])
        return slice(int(first), int(last))

    @property
    def current(self) -> slice:
        """The rows of the current window."""
        return slice(self.first_current, len(self.times))

    @property
    def days(self) -> IntArray:
        """The day [n] of each row; 0 begins at `end`. A day begins at the time of day at which the window ends."""
        return (self.times - self.end) // DAY_MS


@dataclass(frozen=True, kw_only=True)
class Traffic(Observed):
    """Events. `items` are rows of `item_ids` and `categories`. `values` are the prices of one piece, NaN without one.

    `events` is how many events there were before sampling: (reference's span, current window).
    """

    items: IntArray
    kinds: Int8Array
    values: Float64Array
    item_ids: Sequence[str]
    categories: Sequence[str]
    events: tuple[int, int]


def read_traffic(
    connection: Connection, reference: Reference, current: TimeWindow, *, sample_events: int = SAMPLE_EVENTS
) -> Traffic:
    """Return about `sample_events` events of the reference's windows and of the current window, or all of them."""
    spans = (reference.span, current)
    events = (count_events(connection, spans[0]), count_events(connection, spans[1]))
    share = min(1.0, sample_events / max(sum(events), 1))
    numbers, values = zip(*(_read(connection, span, share) for span in spans), strict=True)
    both = np.concatenate(numbers)
    keys = distinct(both[:, 2])
    item_ids, categories = _items(connection, keys)
    return Traffic(
        times=both[:, 0],
        shoppers=both[:, 1],
        items=find_sorted(both[:, 2], keys)[0],
        kinds=both[:, 3].astype(np.int8),
        values=np.concatenate(values),
        item_ids=item_ids,
        categories=categories,
        first_current=len(numbers[0]),
        end=current.end,
        share=share,
        events=events,
    )


def count_events(connection: Connection, window: TimeWindow) -> int:
    """Return the number of events in the window."""
    times = interactions.c.event_time
    return int(connection.scalar(select(func.count()).where(times >= window.start, times < window.end)) or 0)


def is_sampled(name: str, share: float) -> bool:
    """Return whether the event or list of this id belongs to a sample of this share."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def _read(connection: Connection, span: TimeWindow, share: float) -> tuple[IntArray, Float64Array]:
    """Return (time, shopper, item key, kind) [n, 4] and the values [n] of the sampled events, in the order of time."""
    table = interactions.c
    wanted = (table.event_time, table.user_key, table.item_key, table.event_type, table.value)
    query = select(*wanted, *([table.event_id] if share < 1 else []))
    query = query.where(table.event_time >= span.start, table.event_time < span.end)
    numbers, values = [np.empty((0, 4), dtype=np.int64)], [np.empty(0)]
    for rows in connection.execute(query, execution_options={"yield_per": READ_ROWS}).partitions():
        kept = [row for row in rows if is_sampled(row[5], share)] if share < 1 else rows
        if kept:
            numbers.append(np.array([row[:4] for row in kept], dtype=np.int64))
            values.append(np.array([row[4] for row in kept], dtype=np.float64))
    found, prices = np.concatenate(numbers), np.concatenate(values)
    order = np.argsort(found[:, 0], kind="stable")
    return found[order], prices[order]


def _items(connection: Connection, keys: IntArray) -> tuple[list[str], list[str]]:
    """Return the ids and the broadest categories of these items, ascending keys."""
    ids, names = [""] * len(keys), [NO_CATEGORY] * len(keys)
    there: BoolArray
    query = select(items.c.item_key, items.c.item_id, items.c.categories)
    for rows in connection.execute(query, execution_options={"yield_per": READ_ROWS}).partitions():
        places, there = find_sorted(np.array([row[0] for row in rows], dtype=np.int64), keys)
        for row, place, wanted in zip(rows, places.tolist(), there.tolist(), strict=True):
            if wanted:
                ids[place], names[place] = row[1], _category(row[2])
    return ids, names


def _category(categories: str) -> str:
    """Return the first category of a JSON array of categories (the broadest first)."""
    names = json.loads(categories)
    return str(names[0]) if names else NO_CATEGORY
