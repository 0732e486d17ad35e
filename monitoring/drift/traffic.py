"""Traffic: the events of a reference and of the current window as arrays, read from SQL.

Arrives: `interactions` and `items`. Leaves: `Traffic`. Next: `columns` makes of it what is compared.

A busy shop's events are sampled by a hash of the event's id, at the same rate in all windows. Rejected: every n-th key
of the table. Keys follow the order of arrival, so each n-th may always be of the same producer or partition.

Of one shopper's day a bounded number of events is compared, those with the smallest hashes. Otherwise one wholesaler or
one robot is half of a day's traffic, and its order is called a drift.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, func, select

from graphstore.arrays import BoolArray, Float64Array, Int8Array, IntArray, begins_run, distinct, find_sorted
from graphstore.retention import DAY_MS
from graphstore.tables import interactions, items
from monitoring.drift.references import Reference
from monitoring.windows import TimeWindow

SAMPLE_EVENTS = 250_000
"""The largest number of events that are compared. With a day of 28 this leaves 8,600 events in the current window, and
a column without drift scores about .002."""
EARLIER_DAYS = 14
"""Days before the first window that are read, too: `columns` asks what was known of an item."""
MOST_OF_A_DAY = 20
"""Events of one shopper in one day that are compared. Half of all baskets of a shop are smaller."""
READ_ROWS = 50_000
NO_CATEGORY = "(none)"


EVENT = np.dtype([("time", "i8"), ("shopper", "i8"), ("item", "i8"), ("kind", "i1"), ("value", "f8"), ("hash", "i8")])
EventArray = npt.NDArray[np.void]
HASHES = 2**63


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

    `events` is how many events there were before sampling: (reference's span, current window). `reference_end` is the
    end of that span (epoch ms).
    """

    items: IntArray
    kinds: Int8Array
    values: Float64Array
    item_ids: Sequence[str]
    categories: Sequence[str]
    events: tuple[int, int]
    reference_end: int


def read_traffic(
    connection: Connection, reference: Reference, current: TimeWindow, *, sample_events: int = SAMPLE_EVENTS
) -> Traffic:
    """Return about `sample_events` events of the reference's windows and of the current window, or all of them."""
    earlier = TimeWindow(reference.span.start - EARLIER_DAYS * DAY_MS, reference.span.end)
    spans = (earlier, current)
    events = (count_events(connection, reference.span), count_events(connection, current))
    share = min(1.0, sample_events / max(sum(events), 1))
    parts = [_read(connection, span, share) for span in spans]
    kept = [part[_bounded(part, current.end)] for part in parts]
    both = np.concatenate(kept)
    keys = distinct(both["item"])
    item_ids, categories = _items(connection, keys)
    return Traffic(
        times=both["time"],
        shoppers=both["shopper"],
        items=find_sorted(both["item"], keys)[0],
        kinds=both["kind"],
        values=both["value"],
        item_ids=item_ids,
        categories=categories,
        first_current=len(kept[0]),
        end=current.end,
        share=share,
        events=events,
        reference_end=reference.span.end,
    )


def count_events(connection: Connection, window: TimeWindow) -> int:
    """Return the number of events in the window."""
    times = interactions.c.event_time
    return int(connection.scalar(select(func.count()).where(times >= window.start, times < window.end)) or 0)


def hash_of(name: str) -> int:
    """Return 63 bits of the hash of an id."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def is_sampled(name: str, share: float) -> bool:
    """Return whether the list of this id belongs to a sample of this share."""
    return hash_of(name) < share * HASHES


def _read(connection: Connection, span: TimeWindow, share: float) -> EventArray:
    """Return the sampled events of the span in the order of time."""
    table = interactions.c
    query = select(
        table.event_time, table.user_key, table.item_key, table.event_type, table.value, table.event_id
    ).where(table.event_time >= span.start, table.event_time < span.end)
    found = [np.empty(0, EVENT)]
    bound = share * HASHES
    for rows in connection.execute(query, execution_options={"yield_per": READ_ROWS}).partitions():
        hashed = [(*row[:4], math.nan if row[4] is None else row[4], hash_of(row[5])) for row in rows]
        found.append(np.array([row for row in hashed if row[5] < bound], EVENT))
    both = np.concatenate(found)
    return both[np.argsort(both["time"], kind="stable")]


def _bounded(events: EventArray, end: int) -> BoolArray:
    """Return which events are among the first `MOST_OF_A_DAY` of their shopper's day, in the order of their hashes."""
    days = (events["time"] - end) // DAY_MS
    order = np.lexsort((events["hash"], days, events["shopper"]))
    shopper, day = events["shopper"][order], days[order]
    starts = np.flatnonzero(begins_run(shopper, day))
    places = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    kept = np.zeros(len(order), dtype=np.bool_)
    kept[order] = places < MOST_OF_A_DAY
    return kept


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
