"""Real processes killed under load, a few times: nothing is lost, doubled or wrong. `make kills` does it often.

The comparison that says so is tested first: it must find what is planted.
"""

import asyncio
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, delete, insert, select, update

from graphstore.redis import hot, item_store
from graphstore.session import now_ms, read, write
from graphstore.tables import edges, identities, interactions, item_buckets, items, seen_items, stream_progress, users
from sagestream.playground.embedded import find_kafka
from stream import events
from stream.kafka import batch_producer
from stream.worker.sink import Sink
from stream.worker.topic_status import TopicStatus
from stream.worker.worker import TOPICS, Worker
from tests.brokers import NO_KAFKA
from tests.kills.broker_log import Record
from tests.kills.campaign import Campaign
from tests.kills.comparison import Differences, compare, compare_log
from tests.kills.expected import expect
from tests.kills.kills import Disturbance, Kills
from tests.kills.load import Message, Shoppers
from tests.kills.points import Point
from tests.kills.shop import Database
from tests.kills.worker import RECENT_ITEMS

KAFKA = pytest.mark.kafka

PLANS: dict[tuple[Database, str], list[Disturbance]] = {
    ("sqlite", "kafka"): [partial(Kills.worker_at, point=Point.AFTER_COMMIT), Kills.broker],
    ("postgresql", "kafka"): [Kills.all_workers, Kills.redis, partial(Kills.worker_at, point=Point.ANNOUNCED)],
    ("sqlite", "tansu"): [Kills.worker_at_random],
    ("postgresql", "tansu"): [partial(Kills.worker_at, point=Point.IN_SQL)],
}


@pytest.mark.service
@pytest.mark.kill
@pytest.mark.parametrize(
    ("database", "broker"), [pytest.param(*key, marks=KAFKA if key[1] == "kafka" else ()) for key in PLANS]
)
def test_nothing_is_lost_or_doubled_whatever_is_killed(tmp_path: Path, database: Database, broker: str) -> None:
    home = find_kafka() if broker == "kafka" else None
    if broker == "kafka" and home is None:
        pytest.skip(NO_KAFKA)
    outcome = Campaign(tmp_path, database, home, seed=1, plan=PLANS[database, broker]).run()
    assert not outcome.differences, outcome.differences.shown()
    assert outcome.kills.total() >= len(PLANS[database, broker])
    assert outcome.events > 500


@dataclass
class World:
    """What a log of a thousand messages became, without a broker: the worker's own steps over a real store."""

    engine: Engine
    redis: Redis
    log: list[Record]
    sent: list[Record]

    def differences(self) -> Differences:
        return compare(
            expect(self.log), engine=self.engine, redis=self.redis, sent=self.sent, recent_items=RECENT_ITEMS
        )

    def sql(self, statement: Any) -> None:
        with write(self.engine) as connection:
            assert connection.execute(statement).rowcount == 1

    def first(self, column: Any, *where: Any) -> Any:
        with read(self.engine) as connection:
            found = connection.scalars(select(column).where(*where).order_by(column)).first()
        assert found is not None
        return found

    def forget_sent(self, topic: str) -> None:
        """Take away whatever was told under the key of the topic's last message."""
        key = [record for record in self.sent if record.topic == topic][-1].key
        self.sent = [record for record in self.sent if (record.topic, record.key) != (topic, key)]


@pytest.fixture
def world(sqlite_engine: Engine, redis: Redis) -> World:
    made = World(sqlite_engine, redis, [], [])
    time = now_ms()
    ends: dict[tuple[str, int], int] = {}

    def record(topic: str, key: bytes | None, value: bytes | None) -> Record:
        partition = zlib.crc32(key or b"") % 4
        offset = ends[topic, partition] = ends.get((topic, partition), -1) + 1
        return Record(topic, partition, offset, time + len(made.log), key, value)

    async def deliver(messages: Sequence[batch_producer.Message]) -> None:
        made.sent += [record(*message[:3]) for message in messages]

    sink = Sink(sqlite_engine, redis, recent_items=RECENT_ITEMS, trending_items=5)
    standing = TopicStatus(TOPICS, now_ms)
    worker = Worker(sink, deliver, now_ms, standing=standing, dead_share=1.0)
    shoppers = Shoppers(Random(7), lambda: time / 1000)
    for _ in range(10):
        batch = [record(*shoppers.next()) for _ in range(100)]
        made.log += batch
        for topic in TOPICS:
            if mine := [one for one in batch if one.topic == topic]:
                asyncio.run(getattr(worker, f"on_{topic.rpartition('.')[2]}")(mine))
    return made


def test_a_world_in_order_has_no_differences(world: World) -> None:
    found = world.differences()
    assert not found, found.shown()
    assert {record.topic for record in world.log} == set(TOPICS)
    assert {record.topic for record in world.sent} == {events.USERS_TOUCHED, events.DEAD_LETTERS}


def _edge(world: World) -> Any:
    return edges.c.user_key == world.first(edges.c.user_key), edges.c.item_key == world.first(
        edges.c.item_key, edges.c.user_key == world.first(edges.c.user_key), edges.c.views > 0
    )


def _bucket(world: World) -> Any:
    hour = world.first(item_buckets.c.hour)
    return item_buckets.c.hour == hour, item_buckets.c.item_key == world.first(
        item_buckets.c.item_key, item_buckets.c.hour == hour
    )


def _invent(world: World) -> None:
    with read(world.engine) as connection:
        row = dict(connection.execute(select(interactions)).mappings().first() or {})
    world.sql(insert(interactions).values({**row, "interaction_key": 10**6, "event_id": "invented"}))


def _letter_for_a_good_message(world: World) -> None:
    letter = next(record for record in world.sent if record.topic == events.DEAD_LETTERS)
    told = {**json.loads(letter.value or b""), "topic": events.INTERACTIONS, "offset": 10**6}
    world.sent.append(letter._replace(value=json.dumps(told).encode()))


PLANTS: dict[str, tuple[str, Callable[[World], object]]] = {
    "an event is missing": (
        "lost",
        lambda w: w.sql(delete(interactions).where(interactions.c.event_id == w.first(interactions.c.event_id))),
    ),
    "an event that nobody sent": ("wrong", _invent),
    "an event with another value": (
        "wrong",
        lambda w: w.sql(
            update(interactions).values(value=1e9).where(interactions.c.event_id == w.first(interactions.c.event_id))
        ),
    ),
    "an edge counts twice": (
        "doubled",
        lambda w: w.sql(update(edges).values(views=edges.c.views + 1).where(*_edge(w))),
    ),
    "an edge forgets": ("lost", lambda w: w.sql(update(edges).values(views=edges.c.views - 1).where(*_edge(w)))),
    "an edge is younger": (
        "wrong",
        lambda w: w.sql(update(edges).values(last_time=edges.c.last_time + 1).where(*_edge(w))),
    ),
    "an hour counts twice": (
        "doubled",
        lambda w: w.sql(update(item_buckets).values(carts=item_buckets.c.carts + 1).where(*_bucket(w))),
    ),
    "another title": (
        "wrong",
        lambda w: w.sql(update(items).values(title="?").where(items.c.item_key == w.first(items.c.item_key))),
    ),
    "a session is nobody's": (
        "wrong",
        lambda w: w.sql(
            update(users)
            .values(person_key=None)
            .where(users.c.user_key == w.first(users.c.user_key, users.c.person_key.is_not(None)))
        ),
    ),
    "other attributes": (
        "wrong",
        lambda w: w.sql(
            update(users)
            .values(attributes='{"age": 300}')
            .where(users.c.user_key == w.first(users.c.user_key, users.c.updated_at > 0))
        ),
    ),
    "a login is missing": (
        "lost",
        lambda w: w.sql(delete(identities).where(identities.c.anonymous_id == w.first(identities.c.anonymous_id))),
    ),
    "a seen item is missing": (
        "lost",
        lambda w: w.sql(
            delete(seen_items).where(
                seen_items.c.request_id == (request := w.first(seen_items.c.request_id)),
                seen_items.c.position == w.first(seen_items.c.position, seen_items.c.request_id == request),
            )
        ),
    ),
    "the progress is behind": (
        "wrong",
        lambda w: w.sql(
            update(stream_progress)
            .values(next_offset=stream_progress.c.next_offset - 1)
            .where(stream_progress.c.topic == events.CATALOG, stream_progress.c.partition == 0)
        ),
    ),
    "no recent items": ("lost", lambda w: w.redis.delete(hot.recent_key("u1"))),
    "a recent item of another time": (
        "wrong",
        lambda w: w.redis.zincrby(hot.recent_key("u1"), 1, w.redis.zrange(hot.recent_key("u1"), 0, 0)[0]),
    ),
    "an item not seen": ("wrong", lambda w: w.redis.spop(hot.seen_key("u1"))),
    "keys of a session that logged in": (
        "wrong",
        lambda w: w.redis.sadd(hot.seen_key(next(iter(expect(w.log).person))), "i1"),
    ),
    "no item in Redis": ("lost", lambda w: w.redis.delete(w.redis.keys(item_store.item_key("*"))[0])),
    "a shopper not announced": ("lost", lambda w: w.forget_sent(events.USERS_TOUCHED)),
    "no dead letter": ("lost", lambda w: w.forget_sent(events.DEAD_LETTERS)),
    "a dead letter for nothing": ("wrong", _letter_for_a_good_message),
}


@pytest.mark.parametrize("what", PLANTS)
def test_the_comparison_finds_what_is_planted(world: World, what: str) -> None:
    kind, plant = PLANTS[what]
    plant(world)
    found = world.differences()
    others = {"lost", "doubled", "wrong"} - {kind}
    assert getattr(found, kind), found.shown()
    assert not any(getattr(found, other) for other in others), found.shown()


def test_the_comparison_finds_what_a_broker_forgot() -> None:
    kept = Record("t", 0, 0, 0, b"k", b"one")
    acknowledged = {("t", 0, 0): Message("t", b"k", b"one"), ("t", 0, 1): Message("t", b"k", b"two")}
    assert len(compare_log([kept], acknowledged).lost) == 1
    other = kept._replace(offset=1, value=b"three")
    assert len(compare_log([kept, other], acknowledged).wrong) == 1
    assert not compare_log([kept, other._replace(value=b"two")], acknowledged)
