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
        self._said: dict[str, tuple[str, ...]] = {}
        """The cells of the newest row of each."""

    def add(self, rows: pd.DataFrame, events: pd.DataFrame) -> None:
        """Take the rows of a block, and the events that they became, into account.

        Raises `UnreadableFile` for too many items.
        """
        names = [name for name in self._columns.columns if name != self._columns.item]
        told = rows[names].astype("string").assign(**{_ITEM: events["item_id"], _TIME: events["event_time"]})
        newest = told.sort_values(_TIME, kind="stable").drop_duplicates([*names, _ITEM], keep="last")
        cells = list(zip(*(newest[name].fillna("").tolist() for name in names), strict=True))
        # Most rows of an item say the same again, and only what is new is read.
        new = self._new(newest[_ITEM].tolist(), cells)
        found = iter(entries(rows.loc[newest.index[new]].reset_index(drop=True), self._columns))
        for item_id, time, said, is_new in zip(newest[_ITEM], newest[_TIME], cells, new, strict=True):
            time_ms, before = self._items.get(item_id, (0, Entry()))
            entry = next(found) if is_new else before
            first, second = (entry, before) if time >= time_ms else (before, entry)
            if first is not second:
                first.add(second)
            self._items[item_id] = max(int(time), time_ms), first
            if time >= time_ms:
                self._said[item_id] = said
        if len(self._items) > MAX_ITEMS:
            raise UnreadableFile(f"more than {MAX_ITEMS:,} items")

    def _new(self, item_ids: list[str], cells: list[tuple[str, ...]]) -> list[bool]:
        """Return which rows say something else than the row of their item before them."""
        before: dict[str, tuple[str, ...]] = {}
        found = []
        for item_id, said in zip(item_ids, cells, strict=True):
            found.append(before.get(item_id, self._said.get(item_id)) != said)
            before[item_id] = said
        return found

    def items(self) -> list[CatalogItem]:
        """Return the items of which anything is known, each at the time of its newest row."""
        return [
            entry.item(item_id, utc(time_ms)) for item_id, (time_ms, entry) in self._items.items() if entry != Entry()
        ]
