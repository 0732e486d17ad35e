"""Shown: the impressions of a span as arrays, with what was shown, who saw it, what was clicked and who is a robot.

Arrives: `impressions`, `seen_items`, `attributions`, `users`. Leaves: `Shown`: lists and their impressions, and
`Credits`, one entry for each attributed event. Next: `counts` and `shopper_sums` add them up.

An impression is one item at one position of one served list. It was shown if its reader vouched for it (`confirmed`),
or the shop's page saw it (`seen_items`), or a click named this list and a position at or below it. Others were merely
fetched.

Whole hours are read, because all lists of an hour decide who was a robot in it (`monitoring.robots`). Long spans are
read day by day, so the memory does not grow with the span.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, text

from graphstore.arrays import BoolArray, Float64Array, IntArray, find_sorted, offsets_of
from graphstore.tables import EVENT_TYPES, HOUR_MS
from monitoring.names import Vocabulary
from monitoring.robots import robots
from monitoring.windows import TimeWindow

CLICK, CART, PURCHASE = (EVENT_TYPES.index(name) for name in ("click", "cart", "purchase"))
CLICK_TYPES = (CLICK, CART, PURCHASE)
"""The events that make an impression a clicked one. A purchase without a click counts, because the shopper came from
the list. Views do not count, because shops send them for pages that only show an item. Ratings do not count either."""

PIECE_MS = 24 * HOUR_MS
_POSITION_BITS = 32

_NEXT = text("SELECT MIN(event_time) FROM impressions WHERE event_time >= :start AND event_time < :end")
"""Times without a list are skipped: a span may begin long before the shop."""

_LISTS = """
SELECT m.request_id, MIN(m.user_id) AS user_id, MIN(m.event_time) AS event_time, MIN(m.model_version) AS model,
       MIN(m.slot) AS slot, MIN(m.variant) AS variant, MIN(m.client) AS client,
       MAX(CASE WHEN m.robot THEN 1 ELSE 0 END) AS robot, {array}(m.position) AS positions,
       {array}(CASE WHEN m.confirmed OR EXISTS (
           SELECT 1 FROM seen_items s WHERE s.request_id = m.request_id AND s.position = m.position
       ) THEN 1 ELSE 0 END) AS vouched,
       {array}(m.source) AS sources, {items} AS items, {propensities} AS propensities
FROM impressions m WHERE m.event_time >= :start AND m.event_time < :end
GROUP BY m.request_id ORDER BY MIN(m.event_time), m.request_id
"""
"""One row for each list, its items as JSON arrays: a twentieth of the rows takes a third of the time."""

_PEOPLE = text("""
SELECT u.user_id, p.user_id AS person FROM users u JOIN users p ON p.user_key = u.person_key
WHERE u.user_id IN (SELECT m.user_id FROM impressions m WHERE m.event_time >= :start AND m.event_time < :end)
""")

_CREDITS = text("""
SELECT a.request_id, a.position, a.event_type, a.matched_by, COALESCE(a.order_id, a.event_id) AS order_id, a.revenue,
       COALESCE(a.currency, '') AS currency
FROM attributions a WHERE a.request_id IN (
    SELECT m.request_id FROM impressions m WHERE m.event_time >= :start AND m.event_time < :end
)
""")


@dataclass(frozen=True)
class Credits:
    """The attributed events [events] of the impressions."""

    row: IntArray
    """The index of its impression."""
    event_type: IntArray
    order: list[str]
    """Its order, or the event itself where the shop names no order."""
    revenue: Float64Array
    """NaN without a price. Negative for what a refund takes back."""
    currency: list[str]


@dataclass(frozen=True)
class Units:
    """What is added up: lists, or single impressions [units], with the number of impressions in each."""

    of_list: IntArray
    person: IntArray
    robot: BoolArray
    shown: IntArray
    vouched: IntArray
    """Those of `shown` that not only an event proved."""
    clicked: IntArray
    carted: IntArray
    purchased: IntArray

    def part(self, chosen: slice) -> "Units":
        """Return these units alone."""
        return Units(**{name: getattr(self, name)[chosen] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Shown:
    """The lists [lists] of a piece of a span in order of time, and their impressions [rows] in order of position."""

    person: IntArray
    time: IntArray
    model: IntArray
    slot: IntArray
    variant: IntArray
    robot: BoolArray
    offsets: IntArray
    """[lists + 1] The impressions of list i are offsets[i]:offsets[i + 1]."""
    of_list: IntArray
    """[rows]"""
    position: IntArray
    source: IntArray
    shown: BoolArray
    by_event: BoolArray
    """Only an event proved that it was shown."""
    clicked: BoolArray
    carted: BoolArray
    purchased: BoolArray
    item: IntArray
    """[rows] Empty, as `propensity`, when it was not asked for."""
    propensity: Float64Array
    credits: Credits

    def within(self, window: TimeWindow) -> slice:
        """Return the lists of the window."""
        start, stop = np.searchsorted(self.time, (window.start, window.end))
        return slice(int(start), int(stop))

    def rows_of(self, lists: slice) -> slice:
        """Return the impressions of these lists."""
        return slice(int(self.offsets[lists.start]), int(self.offsets[lists.stop]))

    @cached_property
    def by_row(self) -> Units:
        """Each impression."""
        marks = {
            mark: (self.shown & getattr(self, mark)).astype(np.int64) for mark in ("clicked", "carted", "purchased")
        }
        return Units(
            of_list=self.of_list,
            person=self.person[self.of_list],
            robot=self.robot[self.of_list],
            shown=self.shown.astype(np.int64),
            vouched=(self.shown & ~self.by_event).astype(np.int64),
            **{mark: (self.shown & having).astype(np.int64) for mark, having in marks.items()},
        )

    @cached_property
    def by_list(self) -> Units:
        """Each list."""
        rows = self.by_row
        sums = {
            name: np.add.reduceat(getattr(rows, name), self.offsets[:-1]) if len(self.person) else rows.shown
            for name in ("shown", "vouched", "clicked", "carted", "purchased")
        }
        return Units(of_list=np.arange(len(self.person)), person=self.person, robot=self.robot, **sums)


def read_shown(
    connection: Connection, span: TimeWindow, vocabulary: Vocabulary, *, items: bool = False
) -> Iterator[Shown]:
    """Yield the impressions of a span, in pieces of whole hours within one UTC day. `items`: with items, propensities.

    The first and the last piece hold whole hours: more than the span where it does not begin or end with an hour. The
    transaction of the connection must show one state of the data (`graphstore.session.read`).
    """
    start, end = span.start // HOUR_MS * HOUR_MS, -(-span.end // HOUR_MS) * HOUR_MS
    while (first := connection.scalar(_NEXT, {"start": start, "end": end})) is not None:
        piece = TimeWindow(int(first) // HOUR_MS * HOUR_MS, min((int(first) // PIECE_MS + 1) * PIECE_MS, end))
        yield _read_piece(connection, piece, vocabulary, items=items)
        start = piece.end


def _read_piece(connection: Connection, piece: TimeWindow, vocabulary: Vocabulary, *, items: bool) -> Shown:
    bounds = {"start": piece.start, "end": piece.end}
    people = {row.user_id: str(row.person) for row in connection.execute(_PEOPLE, bounds)}
    array = "json_group_array" if connection.dialect.name == "sqlite" else "json_agg"
    more = {"items": "m.item_id", "propensities": "m.propensity"}
    query = _LISTS.format(array=array, **{name: f"{array}({more[name]})" if items else "NULL" for name in more})
    lists = connection.execute(text(query), bounds).all()
    positions = _flat([row.positions for row in lists], _numbers)
    offsets = offsets_of([len(one) for one in positions])
    of_list = np.repeat(np.arange(len(lists)), np.diff(offsets))
    columns = [
        _joined(positions),
        _joined(_flat([row.vouched for row in lists], _numbers)),
        _joined(_flat([row.sources for row in lists], lambda found: vocabulary.sources.codes(_decoded(found)))),
        vocabulary.items.codes(item for row in lists for item in _decoded(row.items)) if items else _NOTHING,
    ]
    propensity = np.array([p for row in lists for p in _decoded(row.propensities)] if items else [], dtype=np.float64)
    order = np.lexsort((columns[0], of_list))
    position, vouched, source, item = (column[order] if len(column) else column for column in columns)
    propensity = propensity[order] if items else propensity
    person = vocabulary.persons.codes(people.get(row.user_id, row.user_id) for row in lists)
    time = np.array([row.event_time for row in lists], dtype=np.int64)
    keys = _keys(of_list, position)
    credits, named = _credits(connection, bounds, {row.request_id: index for index, row in enumerate(lists)}, keys)
    proven = np.full(len(lists), -1, dtype=np.int64)
    np.maximum.at(proven, of_list[credits.row[named]], position[credits.row[named]])
    by_event = (vouched == 0) & (position <= proven[of_list])
    did = {event_type: _having(credits, event_type, len(keys)) for event_type in CLICK_TYPES}
    return Shown(
        person=person,
        time=time,
        model=vocabulary.models.codes(row.model for row in lists),
        slot=vocabulary.slots.codes(row.slot for row in lists),
        variant=vocabulary.variants.codes(row.variant for row in lists),
        robot=robots([bool(row.robot) for row in lists], person, [row.client for row in lists], time),
        offsets=offsets,
        of_list=of_list,
        position=position,
        source=source,
        shown=(vouched > 0) | by_event,
        by_event=by_event,
        clicked=did[CLICK] | did[CART] | did[PURCHASE],
        carted=did[CART],
        purchased=did[PURCHASE],
        item=item,
        propensity=propensity,
        credits=credits,
    )


_NOTHING = np.zeros(0, dtype=np.int64)


def _decoded(array: Any) -> list[Any]:
    """Return a JSON array, which SQLite returns as text and PostgreSQL as a list."""
    found: list[Any] = msgspec.json.decode(array) if isinstance(array, str) else array
    return found


def _numbers(array: Any) -> IntArray:
    return np.array(_decoded(array), dtype=np.int64)


def _flat(arrays: Sequence[Any], decode: Callable[[Any], IntArray]) -> list[IntArray]:
    """Return each array decoded. Most lists look alike, so each text is decoded once."""
    known: dict[str, IntArray] = {}
    found = []
    for array in arrays:
        name = array if isinstance(array, str) else repr(array)
        if name not in known:
            known[name] = decode(array)
        found.append(known[name])
    return found


def _joined(arrays: Sequence[IntArray]) -> IntArray:
    return np.concatenate([_NOTHING, *arrays])


def _keys(of_list: IntArray, position: IntArray) -> IntArray:
    return (of_list << _POSITION_BITS) | position


def _credits(
    connection: Connection, bounds: Mapping[str, int], lists: Mapping[str, int], keys: IntArray
) -> tuple[Credits, BoolArray]:
    """Return the attributed events of the impressions, and which of them prove that their list was shown."""
    rows = connection.execute(_CREDITS, bounds).all()
    of_list = np.array([lists[row.request_id] for row in rows], dtype=np.int64)
    indices, found = find_sorted(_keys(of_list, np.array([row.position for row in rows], dtype=np.int64)), keys)
    rows = [row for row, is_there in zip(rows, found, strict=True) if is_there]
    types = np.array([row.event_type for row in rows], dtype=np.int64)
    credits = Credits(
        row=indices[found],
        event_type=types,
        order=[row.order_id for row in rows],
        revenue=np.array([np.nan if row.revenue is None else row.revenue for row in rows], dtype=np.float64),
        currency=[row.currency for row in rows],
    )
    named = np.array([row.matched_by == "request" for row in rows], dtype=np.bool_)
    return credits, named & np.isin(types, CLICK_TYPES)


def _having(credits: Credits, event_type: int, rows: int) -> BoolArray:
    having = np.zeros(rows, dtype=np.bool_)
    having[credits.row[credits.event_type == event_type]] = True
    return having
