"""Shown: the impressions of a span as arrays, with what was shown, who saw it, what was clicked and who is a robot.

Arrives: `impressions`, `seen_items`, `attributions`, `users`. Leaves: `Shown`, one entry for each impression, and
`Credits`, one entry for each attributed event. Next: `counts` and `shopper_sums` add them up.

An impression is one item at one position of one served list. It was shown if its reader vouched for it (`confirmed`),
or the shop's page saw it (`seen_items`), or a click named this list and a position at or below it. Others were merely
fetched.

A list is a robot's if its user agent says so, or if its shopper or its reader's address fetched more lists in one hour
of the clock than people do. Only the rows of this hour decide, so the answer does not depend on the span. That is why
whole hours are read.

Texts become integers (`Names`), because a million texts take longer to group than a million integers. Long spans are
read day by day, so the memory does not grow with the span.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import Connection, text

from graphstore.arrays import BoolArray, Float64Array, IntArray, distinct, find_sorted, run_starts
from graphstore.tables import EVENT_TYPES, HOUR_MS
from monitoring.windows import TimeWindow

MOST_LISTS_OF_A_SHOPPER = 120
"""In an hour. A page shows about three lists, and 40 pages in an hour are a page every 90 seconds without a pause."""
MOST_LISTS_OF_A_CLIENT = 600
"""In an hour. Several people read behind one address, for example a family or an office: five very busy ones."""

CLICK, CART, PURCHASE = (EVENT_TYPES.index(name) for name in ("click", "cart", "purchase"))
CLICK_TYPES = (CLICK, CART, PURCHASE)
"""The events that make an impression a clicked one. A purchase without a click counts, because the shopper came from
the list. Views do not count, because shops send them for pages that only show an item. Ratings do not count either."""

PIECE_MS = 24 * HOUR_MS
ROWS_AT_ONCE = 50_000
_POSITION_BITS = 32

_ROWS = text("""
SELECT m.request_id, m.position, m.user_id, m.event_time, m.model_version, m.slot, m.variant, m.source, m.confirmed,
       m.robot, m.client, m.item_id, m.propensity
FROM impressions m WHERE m.event_time >= :start AND m.event_time < :end
""")

_PEOPLE = text("""
SELECT u.user_id, p.user_id AS person FROM users u JOIN users p ON p.user_key = u.person_key
WHERE u.user_id IN (SELECT m.user_id FROM impressions m WHERE m.event_time >= :start AND m.event_time < :end)
""")

_SEEN = text("""
SELECT s.request_id, s.position FROM seen_items s WHERE s.request_id IN (
    SELECT m.request_id FROM impressions m WHERE m.event_time >= :start AND m.event_time < :end AND NOT m.confirmed
)
""")

_CREDITS = text("""
SELECT a.request_id, a.position, a.event_type, a.matched_by, COALESCE(a.order_id, a.event_id) AS order_id, a.revenue,
       COALESCE(a.currency, '') AS currency
FROM attributions a WHERE a.request_id IN (
    SELECT m.request_id FROM impressions m WHERE m.event_time >= :start AND m.event_time < :end
)
""")


class Names:
    """Texts as integers, in the order of their arrival."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._codes)

    def codes(self, names: Iterable[str]) -> IntArray:
        """Return the integer of each text [n]; new texts get the next ones."""
        listed = list(names)
        for name in sorted(set(listed) - self._codes.keys()):
            self._codes[name] = len(self._codes)
        return np.fromiter(map(self._codes.__getitem__, listed), dtype=np.int64, count=len(listed))

    def known(self, names: Iterable[str]) -> IntArray:
        """Return the integer of each text [n], -1 for unknown ones."""
        return np.array([self._codes.get(name, -1) for name in names], dtype=np.int64)

    def texts(self) -> list[str]:
        """Return all texts; the integer of a text is its index."""
        return list(self._codes)


@dataclass
class Vocabulary:
    """The names of a whole span, which all its pieces share."""

    persons: Names = field(default_factory=Names)
    models: Names = field(default_factory=Names)
    slots: Names = field(default_factory=Names)
    variants: Names = field(default_factory=Names)
    sources: Names = field(default_factory=Names)
    items: Names = field(default_factory=Names)


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
class Shown:
    """The impressions [rows] of a piece of a span, in order of time."""

    of_list: IntArray
    position: IntArray
    person: IntArray
    time: IntArray
    model: IntArray
    slot: IntArray
    variant: IntArray
    source: IntArray
    item: IntArray
    propensity: Float64Array
    shown: BoolArray
    by_event: BoolArray
    """Only an event proved that it was shown."""
    robot: BoolArray
    clicked: BoolArray
    carted: BoolArray
    purchased: BoolArray
    credits: Credits

    def __len__(self) -> int:
        return len(self.of_list)

    def within(self, window: TimeWindow) -> slice:
        """Return the rows of the window."""
        start, stop = np.searchsorted(self.time, (window.start, window.end))
        return slice(int(start), int(stop))


def read_shown(connection: Connection, span: TimeWindow, vocabulary: Vocabulary) -> Iterator[Shown]:
    """Yield the impressions of a span, in pieces of whole hours of at most a day.

    The first and the last piece hold whole hours: more than the span where it does not begin or end with an hour. The
    transaction of the connection must show one state of the data (`graphstore.session.read`).
    """
    for piece in pieces(span):
        yield _read_piece(connection, piece, vocabulary)


def pieces(span: TimeWindow) -> Iterator[TimeWindow]:
    """Yield the windows of whole hours, each within one UTC day, that cover the span."""
    start, end = span.start // HOUR_MS * HOUR_MS, -(-span.end // HOUR_MS) * HOUR_MS
    while start < end:
        until = min((start // PIECE_MS + 1) * PIECE_MS, end)
        yield TimeWindow(start, until)
        start = until


def _read_piece(connection: Connection, piece: TimeWindow, vocabulary: Vocabulary) -> Shown:
    bounds = {"start": piece.start, "end": piece.end}
    people = {row.user_id: str(row.person) for row in connection.execute(_PEOPLE, bounds)}
    lists, clients = Names(), Names()
    clients.codes([""])  # the integer 0: no address is known
    names = (vocabulary.models, vocabulary.slots, vocabulary.variants, vocabulary.sources)
    parts: list[tuple[np.ndarray, ...]] = [tuple(np.empty(0, dtype=np.int64) for _ in range(13))]
    for chunk in connection.execute(_ROWS, bounds).partitions(ROWS_AT_ONCE):
        requests, positions, users, times, *texts, confirmed, robots, addresses, items, propensities = zip(
            *chunk, strict=True
        )
        parts.append(
            (
                lists.codes(requests),
                np.array(positions, dtype=np.int64),
                vocabulary.persons.codes(people.get(user, user) for user in users),
                np.array(times, dtype=np.int64),
                *(known.codes(values) for known, values in zip(names, texts, strict=True)),
                np.array(confirmed, dtype=np.int64),
                np.array(robots, dtype=np.int64),
                clients.codes(addresses),
                vocabulary.items.codes(items),
                np.array(propensities, dtype=np.float64),
            )
        )
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    # In order of time, then list and position: the same rows make the same arrays, however they were stored.
    order = np.lexsort((columns[1], columns[0], columns[3]))
    columns = [column[order] for column in columns]
    of_list, position, person, time, model, slot, variant, source, confirmed, agent, client, item, propensity = columns
    keys = _keys(of_list, position)
    seen = _seen(connection, bounds, lists, keys)
    credits, by_request = _credits(connection, bounds, lists, keys)
    proven = np.full(len(lists), -1, dtype=np.int64)
    np.maximum.at(proven, of_list[credits.row[by_request]], position[credits.row[by_request]])
    vouched = confirmed.astype(np.bool_) | seen
    by_event = ~vouched & (position <= proven[of_list])
    robot = agent.astype(np.bool_)
    robot |= _busy(person, time, of_list, most=MOST_LISTS_OF_A_SHOPPER)
    robot |= (client > 0) & _busy(client, time, of_list, most=MOST_LISTS_OF_A_CLIENT)
    did = {event_type: _having(credits, len(keys), (event_type,)) for event_type in CLICK_TYPES}
    return Shown(
        of_list=of_list,
        position=position,
        person=person,
        time=time,
        model=model,
        slot=slot,
        variant=variant,
        source=source,
        item=item,
        propensity=propensity.astype(np.float64),
        shown=vouched | by_event,
        by_event=by_event,
        robot=robot,
        clicked=did[CLICK] | did[CART] | did[PURCHASE],
        carted=did[CART],
        purchased=did[PURCHASE],
        credits=credits,
    )


def _keys(of_list: IntArray, position: IntArray) -> IntArray:
    return (of_list << _POSITION_BITS) | position


def _seen(connection: Connection, bounds: dict[str, int], lists: Names, keys: IntArray) -> BoolArray:
    """Return which impressions [rows] the shop's page saw."""
    found = [np.empty(0, dtype=np.int64)]
    for chunk in connection.execute(_SEEN, bounds).partitions(ROWS_AT_ONCE):
        requests, positions = zip(*chunk, strict=True)
        found.append(_keys(lists.known(requests), np.array(positions, dtype=np.int64)))
    return find_sorted(keys, distinct(np.concatenate(found)))[1]


def _credits(connection: Connection, bounds: dict[str, int], lists: Names, keys: IntArray) -> tuple[Credits, BoolArray]:
    """Return the attributed events of the impressions, and which of them prove that their list was shown."""
    rows = connection.execute(_CREDITS, bounds).all()
    wanted = _keys(lists.known(row.request_id for row in rows), np.array([row.position for row in rows], np.int64))
    order = np.argsort(keys)
    indices, found = find_sorted(wanted, keys[order])
    rows = [row for row, is_there in zip(rows, found, strict=True) if is_there]
    types = np.array([row.event_type for row in rows], dtype=np.int64)
    credits = Credits(
        row=order[indices[found]],
        event_type=types,
        order=[row.order_id for row in rows],
        revenue=np.array([np.nan if row.revenue is None else row.revenue for row in rows], dtype=np.float64),
        currency=[row.currency for row in rows],
    )
    named = np.array([row.matched_by == "request" for row in rows], dtype=np.bool_)
    return credits, named & np.isin(types, CLICK_TYPES)


def _having(credits: Credits, rows: int, types: tuple[int, ...]) -> BoolArray:
    having = np.zeros(rows, dtype=np.bool_)
    having[credits.row[np.isin(credits.event_type, types)]] = True
    return having


def _busy(who: IntArray, time: IntArray, of_list: IntArray, *, most: int) -> BoolArray:
    """Return which rows are of somebody with more than `most` lists in the row's hour."""
    if len(who) == 0:
        return np.zeros(0, dtype=np.bool_)
    hour = time // HOUR_MS
    hour -= hour.min()
    group = who * (int(hour.max()) + 1) + hour
    lists = int(of_list.max()) + 1
    groups = distinct(group * lists + of_list) // lists  # ascending, each list once
    starts = run_starts(groups)
    sizes = np.diff(starts, append=len(groups))
    return find_sorted(group, groups[starts][sizes > most])[1]
