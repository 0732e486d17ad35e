"""Items beside: the items that the rows of events tell of, as a log with brand, categories and price in each row.

Arrives: the rows that became events. Leaves: one item for each id; of different rows the newest one counts, and what it
does not say one of the others says. Next: `stream.sources.tabular` yields them after the events.

An item counts from the time of its newest row, so a file of items that was written later wins. Rejected: the time at
which the log was written, as a log that is copied later would take the titles of the catalogue away.
"""

import pandas as pd

from stream.events import CatalogItem, utc
from stream.sources.files.compressed import UnreadableFile
from stream.sources.item_entries import Entry, entries
from stream.sources.item_headers import ItemColumns

MAX_ITEMS = 10_000_000
"""The number of items in memory: the last row of an item is known when all are read."""

_ITEM, _TIME = "item of the row", "time of the row"


class ItemsBeside:
    """The items so far."""

    def __init__(self, columns: ItemColumns) -> None:
        self._columns = columns
        self._items: dict[str, tuple[int, Entry]] = {}

    def add(self, rows: pd.DataFrame, events: pd.DataFrame) -> None:
        """Take the rows of a block, and the events that they became, into account.

        Raises `UnreadableFile` for too many items.
        """
        told = rows[[name for name in self._columns.columns if name != self._columns.item]].astype("string")
        told = told.assign(**{_ITEM: events["item_id"], _TIME: events["event_time"]}).sort_values(_TIME, kind="stable")
        # Most rows of an item say the same, so that few are left.
        newest = told.drop_duplicates([name for name in told.columns if name != _TIME], keep="last")
        found = entries(rows.loc[newest.index].reset_index(drop=True), self._columns)
        for item_id, time, entry in zip(newest[_ITEM], newest[_TIME], found, strict=True):
            time_ms, before = self._items.get(item_id, (0, Entry()))
            first, second = (entry, before) if time >= time_ms else (before, entry)
            first.add(second)
            self._items[item_id] = max(int(time), time_ms), first
        if len(self._items) > MAX_ITEMS:
            raise UnreadableFile(f"more than {MAX_ITEMS:,} items")

    def items(self) -> list[CatalogItem]:
        """Return the items of which anything is known, each at the time of its newest row."""
        return [
            entry.item(item_id, utc(time_ms)) for item_id, (time_ms, entry) in self._items.items() if entry != Entry()
        ]
