"""The comparison: SQL, Redis and the worker's own topics against what the produced log says they must hold.

Arrives: what is expected, an engine, Redis, what the worker sent. Leaves: differences, each in words, of three kinds:
`lost` (something that was acknowledged is missing), `doubled` (something counts more often than it came), and `wrong`
(everything else). Next: `tests.kills.campaign`.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from sqlalchemy import Engine, select

from graphstore.redis import hot, item_store
from graphstore.session import read
from graphstore.tables import (
    COUNT_COLUMNS,
    EVENT_TYPES,
    edges,
    identities,
    impressions,
    interactions,
    item_buckets,
    items,
    seen_items,
    stream_progress,
    users,
)
from stream import events
from tests.kills.broker_log import Record
from tests.kills.expected import CATALOGUED, UNKNOWN, Expected, Place, epoch_ms
from tests.kills.load import Message


@dataclass
class Differences:
    """What is not as it must be, in words."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.wrong)

    def __add__(self, other: "Differences") -> "Differences":
        return Differences(self.lost + other.lost, self.doubled + other.doubled, self.wrong + other.wrong)

    def shown(self, most: int = 5) -> str:
        """The first of each kind."""
        lines = []
        for kind in ("lost", "doubled", "wrong"):
            found: list[str] = getattr(self, kind)
            lines += [f"  {kind}: {words}" for words in found[:most]]
            lines += [f"  {kind}: … and {len(found) - most} more"] * (len(found) > most)
        return "\n".join(lines)

    def rows(self, what: str, expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> None:
        """Two tables by key: missing rows are lost, others wrong."""
        for key, row in expected.items():
            if key not in found:
                self.lost.append(f"{what} {key!r}")
            elif found[key] != row:
                self.wrong.append(f"{what} {key!r} is {found[key]!r}, not {row!r}")
        self.wrong += [
            f"{what} {key!r} is {row!r}, and should not be" for key, row in found.items() if key not in expected
        ]

    def counts(self, what: str, expected: Mapping[Any, Counter[str]], found: Mapping[Any, Counter[str]]) -> None:
        """Two tables of counts by key."""
        for key in expected.keys() | found.keys():
            right, is_now = expected.get(key, Counter()), found.get(key, Counter())
            for kind in EVENT_TYPES:
                words = f"{what} {key!r} counts {is_now[kind]} {kind}, not {right[kind]}"
                if is_now[kind] < right[kind]:
                    self.lost.append(words)
                elif is_now[kind] > right[kind]:
                    self.doubled.append(words)


def compare(
    expected: Expected,
    *,
    engine: Engine,
    redis: Redis,
    sent: Iterable[Record],
    recent_items: int,
    prefix: str = "",
) -> Differences:
    """All of it. `sent` is the log of the worker's own topics, `recent_items` the length of `recent:`.

    `prefix` stands before the names of topics where the worker wrote them down.
    """
    found = Differences()
    _compare_sql(found, expected, engine, prefix)
    _compare_redis(found, expected, redis, _item_keys(engine), recent_items)
    sent = list(sent)
    _compare_announcements(found, expected, [r for r in sent if r.topic == events.USERS_TOUCHED])
    _compare_dead_letters(found, expected, [r for r in sent if r.topic == events.DEAD_LETTERS], prefix)
    return found


def compare_log(log: Iterable[Record], acknowledged: Mapping[Place, Message]) -> Differences:
    """What the broker acknowledged against what it kept."""
    found = Differences()
    kept = {(r.topic, r.partition, r.offset): Message(r.topic, r.key or b"", r.value) for r in log}
    for place, message in acknowledged.items():
        if place not in kept:
            found.lost.append(f"the broker acknowledged {message} at {place} and has it no more")
        elif kept[place] != message:
            found.wrong.append(f"the broker acknowledged {message} at {place} and has {kept[place]} there")
    return found


def _compare_sql(found: Differences, expected: Expected, engine: Engine, prefix: str) -> None:
    i, m, p = interactions.c, impressions.c, stream_progress.c
    with read(engine) as connection:
        rows = list(connection.execute(select(users)))
        user_ids = {row.user_key: row.user_id for row in rows}
        found.rows(
            "user",
            expected.users(possible=user_ids.values()),
            {r.user_id: (user_ids.get(r.person_key), r.updated_at, json.loads(r.attributes)) for r in rows},
        )
        found.rows(
            "identity",
            expected.logins,
            {r.anonymous_id: (r.event_time, r.user_id) for r in connection.execute(select(identities))},
        )
        rows = list(connection.execute(select(items)))
        item_ids = {row.item_key: row.item_id for row in rows}
        found.rows(
            "item",
            {name: expected.catalogue.get(name, UNKNOWN) for name in expected.named_items},
            {
                r.item_id: (r.updated_at, r.title, json.loads(r.categories), r.brand, r.price, bool(r.available))
                for r in rows
            },
        )
        optional = (i.value, i.quantity, i.request_id, i.position, i.order_id, i.currency)
        columns = (i.event_type, i.user_key, i.item_key, i.event_time, *optional)
        found.rows(
            "interaction",
            expected.interactions,
            {
                event_id: (EVENT_TYPES[kind], user_ids.get(user), item_ids.get(item), *rest)
                for event_id, kind, user, item, *rest in connection.execute(select(i.event_id, *columns))
            },
        )
        stored = {(user_ids.get(r.user_key), item_ids.get(r.item_key)): r for r in connection.execute(select(edges))}
        found.counts(
            "edge",
            {key: edge.counts for key, edge in expected.edges.items()},
            {key: _counts(row) for key, row in stored.items()},
        )
        found.rows(
            "the times of edge",
            {key: (edge.first, edge.last) for key, edge in expected.edges.items()},
            {key: (row.first_time, row.last_time) for key, row in stored.items()},
        )
        found.counts(
            "the hour",
            expected.buckets,
            {(r.hour, item_ids.get(r.item_key)): _counts(r) for r in connection.execute(select(item_buckets))},
        )
        columns = (
            m.user_id,
            m.slot,
            m.model_version,
            m.variant,
            m.event_time,
            m.item_id,
            m.score,
            m.propensity,
            m.source,
            m.confirmed,
            m.robot,
            m.client,
        )
        found.rows(
            "impression",
            expected.impressions,
            {(r[0], r[1]): tuple(r[2:]) for r in connection.execute(select(m.request_id, m.position, *columns))},
        )
        found.rows(
            "seen item",
            expected.seen,
            {(r.request_id, r.position): (r.event_time, r.user_id) for r in connection.execute(select(seen_items))},
        )
        found.rows(
            "progress",
            expected.progress,
            {
                (r.topic.removeprefix(prefix), r.partition): r.next_offset
                for r in connection.execute(select(p.topic, p.partition, p.next_offset))
            },
        )


def _counts(row: Any) -> Counter[str]:
    return Counter({kind: getattr(row, name) for kind, name in zip(EVENT_TYPES, COUNT_COLUMNS, strict=True)})


def _item_keys(engine: Engine) -> dict[str, int]:
    with read(engine) as connection:
        return {row.item_id: row.item_key for row in connection.execute(select(items))}


def _compare_redis(
    found: Differences, expected: Expected, redis: Redis, item_keys: Mapping[str, int], recent_items: int
) -> None:
    found.rows(
        "recent:",
        {person: expected.recent(person, recent_items) for person in expected.touched},
        {
            user: {
                item.decode(): int(time) for item, time in redis.zrange(hot.recent_key(user), 0, -1, withscores=True)
            }
            for user in _named(redis, hot.recent_key(""))
        },
    )
    found.rows(
        "seen:",
        {person: set(times) for person, times in expected.touched.items()},
        {user: hot.seen(redis, user) for user in _named(redis, hot.seen_key(""))},
    )
    found.rows(
        "item:",
        {
            item: {"item_key": item_keys.get(item), "item_id": item, **dict(zip(CATALOGUED, row[1:], strict=True))}
            for item, row in expected.catalogue.items()
        },
        {
            item.item_id: {name: getattr(item, name) for name in ("item_key", "item_id", *CATALOGUED)}
            for item in item_store.get_items(redis, _named(redis, item_store.item_key("")))
            if item is not None
        },
    )
    found.rows(
        item_store.ITEM_IDS,
        {str(item_keys.get(item)): item for item in expected.catalogue},
        {key.decode(): item.decode() for key, item in redis.hgetall(item_store.ITEM_IDS).items()},
    )


def _named(redis: Redis, prefix: str) -> list[str]:
    """The names behind the prefix."""
    return [key.decode().removeprefix(prefix) for key in redis.scan_iter(f"{prefix}*", count=1000)]


def _compare_announcements(found: Differences, expected: Expected, sent: Iterable[Record]) -> None:
    """Every person is announced after the last event, or login, of their own and of their sessions.

    The time told is that of an event or of a login: whose, a later login may have changed since.
    """
    last: dict[str, int] = {}
    for record in sent:
        told = json.loads(record.value or b"")
        user, time = told["user_id"], epoch_ms(told["event_time"])
        last[user] = max(record.timestamp, last.get(user, 0))
        if time not in expected.times or record.key != user.encode():
            found.wrong.append(f"announced {user!r} touched at {time}, key {record.key!r}: there is no such event")
    for user, time in expected.last_word.items():
        person = expected.person.get(user, user)
        if last.get(person, 0) < time:
            words = f"{person!r} was last announced at {last.get(person)}, the last word of {user!r} came at {time}"
            found.lost.append(words)


def _compare_dead_letters(found: Differences, expected: Expected, sent: Iterable[Record], prefix: str) -> None:
    """At least one letter for every bad message, with its bytes, and none for a good one."""
    letters: dict[Place, bytes] = {}
    for record in sent:
        told = json.loads(record.value or b"")
        place = told["topic"].removeprefix(prefix), told["partition"], told["offset"]
        letters[place] = base64.b64decode(told["raw"])
        if not told["error"]:
            found.wrong.append(f"a dead letter without a reason: {told}")
    found.rows("dead letter", expected.dead, letters)
