"""Credit rows: reads one batch of shoppers' events and shown items, in the order that `monitoring.crediting` takes.

Arrives: `Shopper` values. Leaves: for each shopper the events since the earliest change, with what they name and what
is stored, and the shown items of the time before. Next: `monitoring.attribution`.

Most shoppers have few rows: they are read together. A crawler may have a million: it is read alone, row by row from an
open cursor, so the memory does not grow with its rows. (SQLite sorts for a person with several ids in memory. A crawler
does not log in.)

What is left of a purchase depends on all purchases and take-backs of its item. Where something is taken back, older
rows are read for that, and keep their credits.

Shown items are only needed for events that name no list of theirs, so for most shoppers they are not read at all.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Result, Row

from graphstore.dirty import ATTRIBUTED_TYPES
from graphstore.takebacks import PURCHASE, TAKE_BACK_CODES
from monitoring.credit_windows import CreditWindows
from monitoring.crediting import Credit, CreditEvent, ShownItem, named_place
from monitoring.dirty_shoppers import Shopper, wanted

FEW_ROWS = 5_000
"""A shopper with more events or impressions than this is read alone."""
ROWS_AT_ONCE = 20_000
"""Rows of several shoppers that are read together."""

Rows = tuple[Shopper, Iterable[CreditEvent], Iterable[ShownItem]]

_TYPES = ", ".join(map(str, sorted(ATTRIBUTED_TYPES)))
_TAKE_BACKS = ", ".join(map(str, TAKE_BACK_CODES))
_COUNT = (
    "SELECT w.id, COUNT(*) AS events FROM w CROSS JOIN interactions i WHERE i.user_key = w.id "
    "AND i.event_time >= w.since GROUP BY w.id"
)
_EVENTS = f"""
SELECT w.id AS user_key, i.event_id, i.event_type, i.event_time, t.item_id, i.value, i.quantity, i.position,
       i.order_id, i.currency, a.request_id AS to_request, a.position AS to_position, a.list_time AS to_time,
       a.matched_by, a.order_id AS to_order, a.revenue, a.currency AS to_currency,
       m.request_id AS named_request, m.position AS named_position, m.event_time AS named_time, m.user_id AS named_user
FROM w CROSS JOIN interactions i JOIN items t ON t.item_key = i.item_key
LEFT JOIN attributions a ON a.event_id = i.event_id
LEFT JOIN impressions m ON m.request_id = i.request_id AND m.item_id = t.item_id
WHERE i.user_key = w.id AND i.event_time >= w.since AND i.event_type IN ({_TYPES})
"""
_SHOWN = """
SELECT w.id, m.event_time, m.request_id, m.position, m.item_id FROM w CROSS JOIN impressions m
WHERE m.user_id = w.id AND m.event_time >= w.since AND (m.confirmed OR EXISTS (
    SELECT 1 FROM seen_items s WHERE s.request_id = m.request_id AND s.position = m.position
))
"""
_FIRST_BOUGHT = f"""
SELECT MIN(b.event_time) AS since
FROM (
    SELECT DISTINCT r.item_key FROM w CROSS JOIN interactions r
    WHERE r.user_key = w.id AND r.event_time >= w.since AND r.event_type IN ({_TAKE_BACKS})
) AS taken, w CROSS JOIN interactions b
WHERE b.user_key = w.id AND b.item_key = taken.item_key AND b.event_time >= :horizon
  AND b.event_type IN ({PURCHASE}, {_TAKE_BACKS})
"""


def read_rows(
    connection: Connection, shoppers: Sequence[Shopper], windows: CreditWindows, *, horizon: int
) -> Generator[Rows]:
    """Yield each shopper with events, with the rows to credit. Rows before `horizon` (epoch ms) do not count.

    The rows of a shopper must be used before the next shopper is asked for. Close it before the transaction ends: it
    may have cursors open.
    """
    starts = {key: max(shopper.since, horizon) for shopper in shoppers for key in shopper.keys}
    counted = {row.id: int(row.events) for row in wanted(connection, _COUNT, starts)}
    batch: list[Shopper] = []
    size = 0
    for shopper in shoppers:
        events = sum(counted.get(key, 0) for key in shopper.keys)
        if not events:
            continue
        if max(events, shopper.items) > FEW_ROWS:
            yield from _streamed(connection, shopper, windows, horizon)
            continue
        batch.append(shopper)
        size += events + shopper.items
        if size >= ROWS_AT_ONCE:
            yield from _together(connection, batch, windows, horizon)
            batch, size = [], 0
    yield from _together(connection, batch, windows, horizon)


def _together(
    connection: Connection, shoppers: Sequence[Shopper], windows: CreditWindows, horizon: int
) -> Iterator[Rows]:
    owner = {key: shopper for shopper in shoppers for key in shopper.keys}
    starts = {key: max(shopper.since, horizon) for key, shopper in owner.items()}
    found = _by_key(wanted(connection, _EVENTS, starts))
    again = {
        key: first for key in found if (first := _first_bought(connection, owner[key], found, horizon)) is not None
    }
    if again:
        again = {key: again[other] for other in again for key in owner[other].keys}
        found = {key: rows for key, rows in found.items() if key not in again}
        found |= _by_key(wanted(connection, _EVENTS, again))
    events = {
        id(shopper): list(
            _events(sorted((r for key in shopper.keys for r in found.get(key, ())), key=_time), shopper, horizon)
        )
        for shopper in shoppers
    }
    oldest: dict[str, int] = {}
    for shopper in shoppers:
        times = [event.time for event in events[id(shopper)] if _asks_for_lists(event, windows)]
        if times:
            oldest |= dict.fromkeys(shopper.names, max(min(times) - windows.longest, horizon))
    shown: dict[str, list[ShownItem]] = {}
    for row in wanted(connection, _SHOWN, oldest):
        shown.setdefault(row.id, []).append(ShownItem(int(row.event_time), row.request_id, row.position, row.item_id))
    for shopper in shoppers:
        if events[id(shopper)]:
            yield shopper, events[id(shopper)], sorted(s for name in shopper.names for s in shown.get(name, ()))


def _streamed(connection: Connection, shopper: Shopper, windows: CreditWindows, horizon: int) -> Iterator[Rows]:
    streaming = connection.execution_options(yield_per=1_000) if connection.dialect.name == "postgresql" else connection
    start = since = max(shopper.since, horizon)
    keys = dict.fromkeys(shopper.keys, since)
    for row in wanted(connection, _FIRST_BOUGHT, keys, horizon=horizon):
        start = min(start, int(row.since if row.since is not None else start))
    keys = dict.fromkeys(shopper.keys, start)
    names = dict.fromkeys(shopper.names, max(since - windows.longest, horizon))
    with (
        _open(streaming, f"{_EVENTS} ORDER BY i.event_time", keys) as rows,
        _open(streaming, f"{_SHOWN} ORDER BY m.event_time", names) as lists,
    ):
        shown = (ShownItem(int(row.event_time), row.request_id, row.position, row.item_id) for row in lists)
        yield shopper, _events(rows, shopper, horizon), shown


@contextmanager
def _open(connection: Connection, statement: str, ids: Mapping[Any, int]) -> Iterator[Iterable[Row[Any]]]:
    """Open a cursor on the rows of `wanted`, and close it though rows are left: nobody reads lists after the events."""
    rows = wanted(connection, statement, ids)
    try:
        yield rows
    finally:
        if isinstance(rows, Result):
            rows.close()


def _first_bought(
    connection: Connection, shopper: Shopper, found: dict[int, list[Row[Any]]], horizon: int
) -> int | None:
    """Return the time of the first purchase of what the shopper takes back; None: nothing is taken back."""
    start = max(shopper.since, horizon)
    if not any(row.event_type in TAKE_BACK_CODES for key in shopper.keys for row in found.get(key, ())):
        return None
    rows = wanted(connection, _FIRST_BOUGHT, dict.fromkeys(shopper.keys, start), horizon=horizon)
    return min([start, *(int(row.since) for row in rows if row.since is not None)])


def _by_key(rows: Iterable[Row[Any]]) -> dict[int, list[Row[Any]]]:
    found: dict[int, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(int(row.user_key), []).append(row)
    return found


def _time(row: Row[Any]) -> int:
    return int(row.event_time)


def _asks_for_lists(event: CreditEvent, windows: CreditWindows) -> bool:
    return event.event_type not in TAKE_BACK_CODES and not event.final and named_place(event, windows) is None


def _events(rows: Iterable[Row[Any]], shopper: Shopper, horizon: int) -> Iterator[CreditEvent]:
    """Yield the events of rows in order of time. An event has several rows when its item stands twice in its list."""
    for _, group in groupby(rows, key=_time):
        by_event: dict[str, list[Row[Any]]] = {}
        for row in group:
            by_event.setdefault(row.event_id, []).append(row)
        for same in by_event.values():
            yield _event(same, shopper, horizon)


def _event(rows: Sequence[Row[Any]], shopper: Shopper, horizon: int) -> CreditEvent:
    row = rows[0]
    stored = None
    if row.to_request is not None:
        stored = Credit(
            row.to_request, row.to_position, row.to_time, row.matched_by, row.to_order, row.revenue, row.to_currency
        )
    return CreditEvent(
        row.event_id,
        int(row.event_type),
        int(row.event_time),
        row.item_id,
        row.value,
        row.quantity,
        row.position,
        row.order_id,
        row.currency,
        named=tuple(
            ShownItem(int(other.named_time), other.named_request, other.named_position, row.item_id)
            for other in rows
            if other.named_user in shopper.names and other.named_time >= horizon
        ),
        stored=stored,
        # Rows before the change are read only to know what is left of a purchase. Computed again, a take-back of
        # another item would lose its credit, because its purchase may be older than the oldest row that was read.
        final=row.event_time < shopper.since
        or (stored is not None and stored.list_time is not None and stored.list_time < horizon),
    )
