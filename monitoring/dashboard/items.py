"""Items: what shoppers look at most, and what rises.

Arrives: the hourly counts of `item_buckets` for the items that trend in Redis. Leaves: the page `items`. Next:
`monitoring.dashboard.show` writes it.

Only the items of `trending:24h` are counted, hour by hour through the primary key: a sum over all items of a week would
read the whole table. An item that rises is among them, or it rises from nothing to little.
"""

from dataclasses import dataclass
from typing import Any

from redis import Redis
from sqlalchemy import Connection, bindparam, select, text

from graphstore.redis import hot
from graphstore.tables import COUNT_COLUMNS, EVENT_TYPES, HOUR_MS, TAKE_BACKS, items
from monitoring.dashboard.wording import short, window
from monitoring.intervals import wilson_interval
from monitoring.windows import TimeWindow
from serving.dashboard.blocks import AnyBlock, Cell, Column, Page, Row, Rows

CANDIDATES = 100
SHOWN = 30
DAY_HOURS = 24
BEFORE_DAYS = 7
MIN_EVENTS = 10
"""An item with fewer events in the last day is not said to rise."""

TITLE_CHARACTERS = 80

_SIGNED = " ".join(
    f"{'-' if name in TAKE_BACKS else '+'} SUM({column})"
    for name, column in zip(EVENT_TYPES, COUNT_COLUMNS, strict=True)
)
_COUNTS = text(f"""
SELECT item_key, {_SIGNED} AS interest, {", ".join(f"SUM({name}) AS {name}" for name in COUNT_COLUMNS)}
FROM item_buckets WHERE hour IN :hours AND item_key IN :keys GROUP BY item_key
""").bindparams(bindparam("hours", expanding=True), bindparam("keys", expanding=True))

SHOWN_TYPES = tuple(name for name in ("view", "click", "cart", "purchase") if name in EVENT_TYPES)


@dataclass(frozen=True)
class _Item:
    item_id: str
    title: str
    price: float | None
    available: bool
    counts: dict[str, int]
    """Of the last day, by type of event."""
    now: int
    before: int
    """Events minus take-backs of the last day, and of the days before it."""

    def rise(self) -> tuple[float, float, float] | None:
        """Return how many times as much as on a day before, with the 95 % interval; None: too little to say.

        Both counts as Poisson: given their sum, the newer one is binomial, and Wilson's interval of its share gives
        that of the ratio.
        """
        if self.now < MIN_EVENTS or self.before < 0:
            return None
        low, high = wilson_interval(self.now, self.now + self.before)
        odds = [float("inf") if p >= 1 else p / (1 - p) * BEFORE_DAYS for p in (low, high)]
        value = self.now / self.before * BEFORE_DAYS if self.before else float("inf")
        return value, odds[0], odds[1]


def compose(connection: Connection, redis: Redis, *, now: int) -> Page:
    """Return the page as of `now` (epoch ms). Raises `redis.RedisError`."""
    ids = [item_id for item_id, _ in hot.trending(redis, "24h", CANDIDATES)]
    hour = now // HOUR_MS
    found = _read(connection, ids, hour)
    day = TimeWindow((hour - DAY_HOURS + 1) * HOUR_MS, now)
    blocks: list[AnyBlock] = [_top(found, window(day)), _rising(found, window(day))]
    return Page(name="items", title="Items", made_at=now, blocks=blocks)


def _read(connection: Connection, ids: list[str], hour: int) -> list[_Item]:
    if not ids:
        return []
    known = {row.item_id: row for row in connection.execute(select(items).where(items.c.item_id.in_(ids)))}
    keys = [row.item_key for row in known.values()]
    first = hour - DAY_HOURS + 1
    newer = {row.item_key: row for row in _counts(connection, range(first, hour + 1), keys)}
    before = {row.item_key: row for row in _counts(connection, range(first - BEFORE_DAYS * DAY_HOURS, first), keys)}
    found = []
    for item_id in ids:
        item = known.get(item_id)
        if item is None or item.item_key not in newer:
            continue
        row, old = newer[item.item_key], before.get(item.item_key)
        counts = {kind: int(getattr(row, column)) for kind, column in zip(EVENT_TYPES, COUNT_COLUMNS, strict=True)}
        found.append(
            _Item(
                item_id,
                item.title,
                item.price,
                bool(item.available),
                counts,
                int(row.interest),
                int(old.interest) if old else 0,
            )
        )
    return found


def _counts(connection: Connection, hours: range, keys: list[int]) -> list[Any]:
    return list(connection.execute(_COUNTS, {"hours": list(hours), "keys": keys})) if keys else []


def _top(found: list[_Item], said: str) -> Rows:
    top = sorted(found, key=lambda item: (-item.now, item.item_id))[:SHOWN]
    rows = [
        Row(
            cells=[
                Cell(value=short(item.title or item.item_id, TITLE_CHARACTERS), title=item.item_id),
                item.now,
                *[item.counts[kind] for kind in SHOWN_TYPES],
                item.price,
                _availability(item),
            ]
        )
        for item in top
    ]
    return Rows(
        title="Top items",
        note="Events minus returns and cancellations, of all shoppers, whether they came from a list or not.",
        columns=[
            Column(name="item"),
            Column(name="events", unit="count"),
            *[Column(name=f"{kind}s", unit="count") for kind in SHOWN_TYPES],
            Column(name="price", unit="number"),
            Column(name="can be bought"),
        ],
        rows=rows,
        window=said,
        empty="No event in the last 24 hours.",
    )


def _rising(found: list[_Item], said: str) -> Rows:
    risen = [(item, rise) for item in found if (rise := item.rise()) is not None and rise[1] > 1]
    risen.sort(key=lambda entry: (-entry[1][1], entry[0].item_id))
    rows = []
    for item, (value, low, high) in risen[:SHOWN]:
        finite = [None if end == float("inf") else end for end in (value, low, high)]
        rows.append(
            Row(
                cells=[
                    Cell(value=short(item.title or item.item_id, TITLE_CHARACTERS), title=item.item_id),
                    Cell(value=finite[0], low=finite[1], high=finite[2], title="" if finite[0] else "not seen before"),
                    item.now,
                    item.before,
                    _availability(item),
                ]
            )
        )
    return Rows(
        title="Rising items",
        note=f"Events of the last 24 hours, as a multiple of a mean day of the {BEFORE_DAYS} days before; only items "
        f"with {MIN_EVENTS} events or more, whose 95 % interval lies above 1. An item without events before has no "
        "multiple.",
        columns=[
            Column(name="item"),
            Column(name="times a mean day", unit="number"),
            Column(name="last 24 hours", unit="count"),
            Column(name=f"{BEFORE_DAYS} days before", unit="count"),
            Column(name="can be bought"),
        ],
        rows=rows,
        window=said,
        empty="No item rises beyond chance.",
    )


def _availability(item: _Item) -> Cell:
    return Cell(value="yes" if item.available else "no", state="none" if item.available else "warn")
