"""Understood: what a reader has taken the columns of a file for, and what it then found in them.

Arrives: a header with its mapping, then the rows of each block. Leaves: `Understood`, in words and for JSON. Next:
`sagestream.importer` tells it, so that a shop sees a wrong guess before the events are stored, and not weeks later.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd

from stream.events import CatalogItem, utc

LARGE_SHARE = 0.05
"""A shopper with this share of a file is more often a guest, a robot or a word for no value than a person."""
LARGE_ROWS = 1_000
"""In smaller files such a share says nothing."""
KEPT_NAMES = 5_000
"""When more names were counted than twice this, the rare ones are forgotten. A name with a large share stays."""

MAX_TOLD_COLUMNS = 20


@dataclass
class Understood:
    """One file. Counts are of the rows that became events."""

    columns: Mapping[str, str]
    """By meaning."""
    ignored: Sequence[str] = ()
    """Columns that are not read."""
    rows_are: str = ""
    """The type of the rows when the file does not name one; else empty."""
    clock: str = "UTC"
    """The zone of times without one; empty when the file has no times."""
    day_first: bool = False
    times_are: str = ""
    """How the first rows write a time, such as `milliseconds since 1970`."""
    rows: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    basket_mark: str | None = None
    """A mark that most cells of items hold: they may be baskets."""
    unread: Counter[str] = field(default_factory=Counter)
    """By column: cells that hold something and gave nothing."""
    no_events: Counter[str] = field(default_factory=Counter)
    """By type: rows that are no event and no error, as an item that was taken out of a cart."""
    items: int = 0
    """Of a file of items."""
    untitled: int = 0
    unpriced: int = 0
    _users: Counter[str] = field(default_factory=Counter)
    _items: Counter[str] = field(default_factory=Counter)

    def add(self, rows: pd.DataFrame) -> None:
        """Take the events of a block into account."""
        if rows.empty:
            return
        self.rows += len(rows)
        first, last = int(rows["event_time"].min()), int(rows["event_time"].max())
        self.first_ms = first if self.first_ms is None else min(self.first_ms, first)
        self.last_ms = last if self.last_ms is None else max(self.last_ms, last)
        for counted, column in ((self._users, "user_id"), (self._items, "item_id")):
            sizes: dict[str, int] = rows[column].value_counts(sort=False).to_dict()  # type: ignore[assignment]
            counted.update(sizes)
            if len(counted) > 2 * KEPT_NAMES:
                common = counted.most_common(KEPT_NAMES)
                counted.clear()
                counted.update(dict(common))

    def add_item(self, item: CatalogItem) -> None:
        """Take an item into account."""
        self.items += 1
        self.untitled += not item.title
        self.unpriced += item.price is None

    def largest(self) -> dict[str, tuple[str, float]]:
        """Return the largest shopper and item with their shares of the rows."""
        found = {"user": self._users, "item": self._items}
        return {
            name: (top[0][0], top[0][1] / self.rows)
            for name, counted in found.items()
            if self.rows and (top := counted.most_common(1))
        }

    def warnings(self) -> list[str]:
        """Return what a shop should look at before it trusts the file."""
        found = [f"{rows:,} cells of {column!r} gave nothing" for column, rows in sorted(self.unread.items()) if rows]
        if self.basket_mark is not None:
            found.append(
                f"most cells of items hold {self.basket_mark!r}: if they are baskets, say --item-separator "
                f"{self.basket_mark!r}"
            )
        found += [
            f"no item has a {what}" for what, without in self._without().items() if self.items and without == self.items
        ]
        if self.rows >= LARGE_ROWS:
            found += [
                f"one {what} has {share:.0%} of all events: {name!r} (a guest, a robot, a word for no value?)"
                for what, (name, share) in self.largest().items()
                if share >= LARGE_SHARE and not (what == "item" and len(self._items) < 2 / LARGE_SHARE)
            ]
        return found

    def _without(self) -> dict[str, int]:
        return {"title": self.untitled, "price": self.unpriced}

    def in_words(self) -> str:
        """Return the columns in one line."""
        words = [f"{meaning} = {name!r}" for meaning, name in self.columns.items()]
        if "time" not in self.columns:
            words.append("no times: the rows in their order, from 1990")
        else:
            order = "day" if self.day_first else "month"
            words.append(f"times without a zone are {self.clock}, dates with / or - begin with the {order}")
        if self.times_are:
            words.append(f"times are {self.times_are}")
        if self.rows_are:
            words.append(f"each row is a {self.rows_are}")
        if self.ignored:
            words.append(f"not read: {_listed(self.ignored)}")
        return " · ".join(words)

    def found(self) -> str:
        """Return in one line what the rows hold."""
        if self.items:
            lacks = "".join(f", {rows:,} without a {what}" for what, rows in self._without().items() if rows)
            return f"{self.items:,} items{lacks}"
        passed = "".join(f"; passed over: {rows:,} {kind}" for kind, rows in sorted(self.no_events.items()))
        if self.first_ms is None or self.last_ms is None:
            return f"no event{passed}"
        first, last = (f"{utc(time):%Y-%m-%d %H:%M}" for time in (self.first_ms, self.last_ms))
        return f"{self.rows:,} events from {first} to {last} UTC{passed}"

    def lines(self) -> list[str]:
        """Return all of it in words."""
        return [self.in_words(), self.found(), *self.warnings()]

    def as_json(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        times = [None if time is None else utc(time).isoformat() for time in (self.first_ms, self.last_ms)]
        return {
            "columns": dict(self.columns),
            "ignored": list(self.ignored),
            "rows_are": self.rows_are or None,
            "timezone": self.clock if "time" in self.columns else None,
            "day_first": self.day_first,
            "times_are": self.times_are or None,
            "events": self.rows,
            "items": self.items,
            "without": self._without(),
            "first": times[0],
            "last": times[1],
            "largest": {what: {"id": name, "share": share} for what, (name, share) in self.largest().items()},
            "unread": dict(self.unread),
            "passed_over": dict(self.no_events),
            "warnings": self.warnings(),
        }


def understand(
    header: Iterable[str],
    meanings: Mapping[str, str],
    *,
    read: Iterable[str],
    rows_are: str,
    clock: str,
    day_first: bool,
) -> Understood:
    """Return what is known of a header: its columns by meaning, and those that are not `read`."""
    # A path and a pair of columns read what they are made of.
    known = {part for name in read for part in (name, *name.split(","), re.split(r"[.\[]", name)[0])}
    return Understood(
        meanings,
        [name for name in header if not any(fnmatchcase(name, one) for one in known)],
        rows_are,
        clock,
        day_first,
    )


def _listed(names: Sequence[str]) -> str:
    told = ", ".join(map(repr, names[:MAX_TOLD_COLUMNS]))
    return told if len(names) <= MAX_TOLD_COLUMNS else f"{told} and {len(names) - MAX_TOLD_COLUMNS} more"
