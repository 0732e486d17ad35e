"""Remembered: reads from SQL what the keys of persons in Redis hold.

Arrives: persons by key. Leaves: the purchases and lists of each, with those of their sessions. Next:
`graphstore.redis.people` and `graphstore.redis.rebuild_people` write them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from sqlalchemy import ColumnElement, Connection, func, or_, select

from graphstore.queries import MAX_PARAMETERS
from graphstore.redis.hot import BOUGHT_ITEMS
from graphstore.redis.lifetime import DAY_MS
from graphstore.redis.shown import MAX_ITEMS, MAX_TIMES, SHOWN_DAYS, second
from graphstore.tables import impressions, interactions, items, seen_items, users
from graphstore.takebacks import PURCHASE, TAKE_BACK_CODES, standing

MAX_LISTED = 10_000
"""Rows of served lists that are read of one person, the newest: what `shown:` can hold at most is a bit more."""

_T = TypeVar("_T")

Times = dict[str, int]
Lists = dict[str, list[int]]

_SEEN = (
    select(seen_items.c.position)
    .where(seen_items.c.request_id == impressions.c.request_id, seen_items.c.position == impressions.c.position)
    .exists()
)

counts_as_shown: ColumnElement[bool] = ~impressions.c.robot & or_(impressions.c.confirmed, _SEEN)
"""Whether a row of `impressions` was put before a shopper."""


def members(connection: Connection, persons: Mapping[int, str]) -> dict[int, tuple[str, str]]:
    """Return the own id and the person of each key: of the persons and of all their sessions."""
    found = {key: (person, person) for key, person in persons.items()}
    for keys in _chunks(list(persons)):
        query = select(users.c.user_key, users.c.user_id, users.c.person_key).where(users.c.person_key.in_(keys))
        found |= {row[0]: (row[1], persons[row[2]]) for row in connection.execute(query)}
    return found


def arrivals(connection: Connection, owners: Mapping[int, str]) -> Times:
    """Return when the last event of each person arrived (epoch ms). `owners` has the person of each user key."""
    found: Times = {}
    for keys in _chunks(list(owners)):
        query = (
            select(interactions.c.user_key, func.max(interactions.c.ingest_time))
            .where(interactions.c.user_key.in_(keys))
            .group_by(interactions.c.user_key)
        )
        for key, time in connection.execute(query):
            found[owners[key]] = max(time, found.get(owners[key], time))
    return found


def bought(connection: Connection, owners: Mapping[int, str]) -> dict[str, Times]:
    """Return the last purchase (epoch ms) of each item by person, of purchases that were not taken back whole.

    `owners` has the person of each user key. The newest `hot.BOUGHT_ITEMS` items of a person are returned.
    """
    rows: dict[str, list[tuple[str, int, int, float]]] = {}
    kinds = (PURCHASE, *TAKE_BACK_CODES)
    for keys in _chunks(list(owners)):
        query = (
            select(
                interactions.c.user_key,
                items.c.item_id,
                interactions.c.event_type,
                interactions.c.event_time,
                interactions.c.quantity,
            )
            .join_from(interactions, items, items.c.item_key == interactions.c.item_key)
            .where(interactions.c.user_key.in_(keys), interactions.c.event_type.in_(kinds))
            .order_by(interactions.c.event_time, interactions.c.interaction_key)
        )
        for key, item_id, kind, time, quantity in connection.execute(query):
            number = np.nan if quantity is None else float(quantity)
            rows.setdefault(owners[key], []).append((item_id, kind, time, number))
    return {person: newest for person, found in rows.items() if (newest := _standing(found))}


def _standing(rows: Sequence[tuple[str, int, int, float]]) -> Times:
    """Return the last standing purchase of each item from (item_id, type, time, quantity), which may be unordered."""
    ordered = sorted(rows, key=lambda row: row[2])  # the rows of a person's sessions came one after the other
    shares = np.ones(len(ordered))
    if any(row[1] != PURCHASE for row in ordered):
        names = {item_id: number for number, item_id in enumerate({row[0] for row in ordered})}
        numbers, kinds = (
            np.array(column, dtype=np.int64) for column in ([names[row[0]] for row in ordered], [r[1] for r in ordered])
        )
        quantities = np.array([row[3] for row in ordered])
        shares = standing(np.zeros(len(ordered), dtype=np.int64), numbers, kinds, quantities)
    times = {row[0]: row[2] for row, share in zip(ordered, shares, strict=True) if share > 0 and row[1] == PURCHASE}
    newest = sorted(times.items(), key=lambda pair: (pair[1], pair[0].encode()))[-BOUGHT_ITEMS:]
    return dict(newest)


def shown(
    connection: Connection, owners: Mapping[str, str], last_events: Mapping[str, Mapping[str, int]], *, now: int
) -> dict[str, Lists]:
    """Return the lists (epoch ms) of the last `SHOWN_DAYS` that showed each item after the last event with it.

    `owners` has the person of each user id, `last_events` the times of a person's items (epoch ms).
    """
    found: dict[str, Lists] = {}
    for ids in _chunks(list(owners)):
        query = (
            select(impressions.c.user_id, impressions.c.item_id, impressions.c.event_time)
            .where(
                impressions.c.user_id.in_(ids), impressions.c.event_time > now - SHOWN_DAYS * DAY_MS, counts_as_shown
            )
            .order_by(impressions.c.event_time.desc())
            .limit(MAX_LISTED * len(ids))
        )
        for user_id, item_id, time in connection.execute(query):
            person = owners[user_id]
            last = last_events.get(person, {}).get(item_id)
            lists = found.setdefault(person, {})
            if last is not None and second(time) <= second(last):
                continue
            if item_id not in lists and len(lists) >= MAX_ITEMS:
                continue
            times = lists.setdefault(item_id, [])
            if len(times) < MAX_TIMES or second(time) == second(times[-1]):
                times.append(time)
    return {person: lists for person, lists in found.items() if lists}


def listed(connection: Connection, places: Iterable[tuple[str, int]]) -> list[tuple[str, str, int]]:
    """Return (user_id, item_id, time in epoch ms) of these places (request_id, position) that count as shown.

    A place without an impression yet is left out: its impression finds that it was seen.
    """
    wanted = set(places)
    found = []
    for ids in _chunks(sorted({request_id for request_id, _ in wanted})):
        query = select(
            impressions.c.request_id,
            impressions.c.position,
            impressions.c.user_id,
            impressions.c.item_id,
            impressions.c.event_time,
        ).where(impressions.c.request_id.in_(ids), counts_as_shown)
        found += [(row[2], row[3], row[4]) for row in connection.execute(query) if (row[0], row[1]) in wanted]
    return found


def _chunks(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (values[start : start + MAX_PARAMETERS] for start in range(0, len(values), MAX_PARAMETERS))
