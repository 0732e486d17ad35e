"""What SQL, Redis and the topics must hold, computed from the broker's log in plain Python, one record at a time.

Arrives: records of every topic. Leaves: plain dictionaries. Next: `tests.kills.comparison`. Nothing of the product's
own arithmetic is used here: a fault in both would cancel out.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from stream import events
from tests.kills.broker_log import Record
from tests.kills.load import BAD

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_MS = 3_600_000

Place = tuple[str, int, int]
"""Topic, partition, offset."""

Row = tuple[Any, ...]


def epoch_ms(time: str) -> int:
    return (datetime.fromisoformat(time) - EPOCH) // timedelta(milliseconds=1)


@dataclass
class Edge:
    """One shopper and one item."""

    counts: Counter[str]
    first: int
    last: int


@dataclass
class Expected:
    """Everything that follows from a log. What is derived of it is computed when the log is complete."""

    interactions: dict[str, Row] = field(default_factory=dict)
    """event_id: type, user, item, time, value, quantity, request, position, order, currency."""
    edges: dict[tuple[str, str], Edge] = field(default_factory=dict)
    buckets: defaultdict[tuple[int, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    items: dict[str, Row] = field(default_factory=dict)
    """Catalogued ones: time, title, categories, brand, price, available."""
    changes: dict[str, int] = field(default_factory=dict)
    """By item, the newest change of a field (its stock, which is not compared)."""
    named_items: set[str] = field(default_factory=set)
    """All, catalogued or only touched."""
    impressions: dict[tuple[str, int], Row] = field(default_factory=dict)
    seen: dict[tuple[str, int], tuple[int, str]] = field(default_factory=dict)
    """By list and position, who saw it first: time, user."""
    attributes: dict[str, Row] = field(default_factory=dict)
    """By user: time, attributes."""
    logins: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By session, the earliest one: time, user."""
    named_users: set[str] = field(default_factory=set)
    """All that did something or have attributes."""
    login_users: set[str] = field(default_factory=set)
    """All that logins name, also those that an earlier login overrules: SQL may or may not know of these."""
    progress: dict[tuple[str, int], int] = field(default_factory=dict)
    dead: dict[Place, bytes] = field(default_factory=dict)
    """The raw bytes of each bad message."""
    last_word: dict[str, int] = field(default_factory=dict)
    """When (record timestamp, ms) the last event, or login, of each user was produced."""
    times: set[int] = field(default_factory=set)
    """The times of all events and logins."""

    @cached_property
    def catalogue(self) -> dict[str, Row]:
        """What was said of each item, and when for the last time."""
        found = {item: self.items.get(item, UNKNOWN) for item in {*self.items, *self.changes}}
        return {item: (max(row[0], self.changes.get(item, 0)), *row[1:]) for item, row in found.items()}

    @cached_property
    def person(self) -> dict[str, str]:
        """Whom each session belongs to in the end: the end of its chain of logins, the smallest of a circle."""
        found = {}
        for session in self.logins:
            chain = [session]
            while chain[-1] in self.logins and (parent := self.logins[chain[-1]][1]) not in chain:
                chain.append(parent)
            circle = chain[chain.index(self.logins[chain[-1]][1]) :] if chain[-1] in self.logins else chain[-1:]
            if (person := min(circle)) != session:
                found[session] = person
        return found

    def users(self, possible: Iterable[str]) -> dict[str, Row]:
        """Each user's person, time of the attributes, attributes; of those `possible` that need not be there, too."""
        needed = self.named_users | self.logins.keys() | {user for _, user in self.logins.values()}
        names = needed | (self.login_users & set(possible))
        return {name: (self.person.get(name), *self.attributes.get(name, (0, {}))) for name in names}

    @cached_property
    def touched(self) -> dict[str, dict[str, int]]:
        """By person, the last time of each item that they, or a session of theirs, touched."""
        found: dict[str, dict[str, int]] = {}
        for (user, item), edge in self.edges.items():
            times = found.setdefault(self.person.get(user, user), {})
            times[item] = max(edge.last, times.get(item, edge.last))
        return found

    def recent(self, person: str, keep: int) -> dict[str, int]:
        """What `recent:` holds: the `keep` newest items by time, then by name."""
        rows = sorted(self.touched[person].items(), key=lambda row: (row[1], row[0].encode()))
        return dict(rows[-keep:])


def expect(log: Iterable[Record]) -> Expected:
    """Take the records in; those of one partition in their order."""
    found = Expected()
    for record in log:
        partition = record.topic, record.partition
        found.progress[partition] = max(record.offset + 1, found.progress.get(partition, 0))
        if (record.key or b"").startswith(BAD):
            found.dead[record.topic, record.partition, record.offset] = record.value or b""
        else:
            RULES[record.topic](found, record)
    return found


_OPTIONAL = ("value", "quantity", "request_id", "position", "order_id", "currency")


def _interaction(found: Expected, record: Record) -> None:
    event = json.loads(record.value or b"")
    user, item, kind, time = event["user_id"], event["item_id"], event["event_type"], epoch_ms(event["event_time"])
    if event["event_id"] in found.interactions:
        return
    optional = (event.get(name) for name in _OPTIONAL)
    found.interactions[event["event_id"]] = (kind, user, item, time, *optional)
    edge = found.edges.setdefault((user, item), Edge(Counter(), time, time))
    edge.counts[kind] += 1
    edge.first, edge.last = min(edge.first, time), max(edge.last, time)
    found.buckets[time // HOUR_MS, item][kind] += 1
    found.named_items.add(item)
    found.named_users.add(user)
    found.last_word[user] = max(record.timestamp, found.last_word.get(user, 0))
    found.times.add(time)


def _impression(found: Expected, record: Record) -> None:
    event = json.loads(record.value or b"")
    served = tuple(event[name] for name in ("user_id", "slot", "model_version", "variant"))
    for shown in event["items"]:
        place = event["request_id"], shown["position"]
        one = (shown[name] for name in ("item_id", "score", "propensity", "source"))
        how = event.get("confirmed", True), event.get("robot", False), event.get("client", "")
        row = (*served, epoch_ms(event["event_time"]), *one, *how)
        found.impressions.setdefault(place, row)


def _seen(found: Expected, record: Record) -> None:
    event = json.loads(record.value or b"")
    look = epoch_ms(event["event_time"]), event["user_id"]
    for position in event["positions"]:
        place = event["request_id"], position
        found.seen[place] = min(look, found.seen.get(place, look))


def _item(found: Expected, record: Record) -> None:
    if record.value is None:
        item_id = (record.key or b"").decode()
        row: Row = (record.timestamp, "", [], "", None, False)
    else:
        event = json.loads(record.value)
        item_id = event["item_id"]
        row = (epoch_ms(event["event_time"]), *(event[name] for name in CATALOGUED))
    found.named_items.add(item_id)
    known = found.items.get(item_id)
    if known is None or row[0] > known[0]:
        found.items[item_id] = row
    elif row[0] == known[0]:  # the greater value of each field
        greater = [
            max(pair, key=lambda value: (value is not None, value)) for pair in zip(row[:-1], known[:-1], strict=True)
        ]
        found.items[item_id] = (*greater, row[-1] and known[-1])


def _change(found: Expected, record: Record) -> None:
    event = json.loads(record.value or b"")
    item_id, time = event["item_id"], epoch_ms(event["event_time"])
    found.named_items.add(item_id)
    found.changes[item_id] = max(time, found.changes.get(item_id, time))


UNKNOWN: Row = (0, "", [], "", None, True)
"""An item of which nothing was said."""
CATALOGUED = ("title", "categories", "brand", "price", "available")


def _attributes(found: Expected, record: Record) -> None:
    if record.value is None:
        user, row = (record.key or b"").decode(), (record.timestamp, {})
    else:
        event = json.loads(record.value)
        user, row = event["user_id"], (epoch_ms(event["event_time"]), event["attributes"])
    found.named_users.add(user)
    known = found.attributes.get(user)
    if known is None or (row[0], not row[1]) > (known[0], not known[1]):
        found.attributes[user] = row


def _identity(found: Expected, record: Record) -> None:
    event = json.loads(record.value or b"")
    session, user, time = event["anonymous_id"], event["user_id"], epoch_ms(event["event_time"])
    found.times.add(time)
    if session == user:
        return
    found.login_users |= {session, user}
    found.logins[session] = min((time, user), found.logins.get(session, (time, user)))
    found.last_word[session] = max(record.timestamp, found.last_word.get(session, 0))


RULES: dict[str, Callable[[Expected, Record], None]] = {
    events.INTERACTIONS: _interaction,
    events.IMPRESSIONS: _impression,
    events.CATALOG: _item,
    events.CATALOG_CHANGES: _change,
    events.USERS: _attributes,
    events.IDENTITIES: _identity,
    events.SEEN: _seen,
}
"""What a good message of each topic means: the topics that the worker reads."""
