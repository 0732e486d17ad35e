"""The worker against real brokers: what goes in on topics comes out as rows, hot keys, dead letters, announcements."""

import asyncio
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer, TopicPartition
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import func, select

from graphstore.redis import hot, item_store
from graphstore.session import open_engine, read
from graphstore.tables import impressions, interactions, items, seen_items, stream_progress, users
from sagestream.playground.embedded import Broker, start_broker
from stream import events
from stream.config import StreamConfig
from stream.kafka.batch_producer import BatchProducer, Message
from stream.kafka.broker import wait_until_answering
from stream.kafka.clients import connection_settings, open_consumer
from stream.kafka.lag import measure
from stream.kafka.producer import EventProducer
from stream.kafka.topics import create_topics
from stream.worker.app import credentials
from tests.brokers import renew_topics, stream_config_of
from tests.databases import migrated_sqlite
from tests.stream.worker_process import SLOW, WorkerProcess, stored, worker_process

TIME = datetime(2026, 1, 5, 12, tzinfo=UTC)


def purchase(number: int, user: str = "u1", item: str = "i1") -> events.Interaction:
    return events.Interaction(
        event_id=f"e{number}",
        event_type=events.EventType.PURCHASE,
        user_id=user,
        item_id=item,
        event_time=TIME,
    )


def messages(config: StreamConfig, topic: str, enough: Callable[[list[bytes]], bool]) -> list[bytes]:
    settings = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 15_000, "fetch_max_wait_ms": 40}
    found: list[bytes] = []
    with closing(open_consumer(config, topic, **settings)) as consumer:
        while not enough(found):
            message = next(consumer, None)
            assert message is not None, found
            found.append(message.value)
    return found


CODECS = ("gzip", "snappy", "lz4", "zstd")


@pytest.fixture
def empty_broker(broker: Broker, tmp_path: Path) -> Iterator[Broker]:
    """A broker of the same kind without a message: other tests of this module may have run before on theirs."""
    if broker.kind == "kafka":
        renew_topics(broker)
        yield broker
        return
    made = start_broker(tmp_path / "tansu", home=None)
    create_topics(stream_config_of(made))
    yield made
    made.child.stop()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_worker_stores_refuses_and_announces(
    empty_broker: Broker, database_url: str, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    broker = empty_broker
    config = stream_config_of(broker)
    login = events.Identity(anonymous_id="session", user_id="anna", event_time=TIME)
    tier = events.UserAttributes(user_id="anna", attributes={"tier": "gold"}, event_time=TIME)
    item = events.CatalogItem(item_id="i3", title="Tea", categories=["Drinks"], price=2.5, event_time=TIME)
    shown = events.ImpressionItem(item_id="i3", position=0, score=1.0, propensity=1.0, source="batch")
    impression = events.Impression(
        request_id="r1",
        user_id="u1",
        slot="home",
        event_time=TIME,
        model_version="m1",
        variant="champion",
        items=[shown],
    )
    look = events.Seen(request_id="r1", user_id="u1", positions=[0], event_time=TIME)
    large = b"x" * 900_000
    with EventProducer(config) as producer:
        for number in range(300):
            event = purchase(number, user=f"u{number % 7}", item=f"i{number % 11}")
            producer.send(events.INTERACTIONS, event, key=event.user_id)
        producer.send(events.INTERACTIONS, purchase(0), key="u1")
        producer.send_raw(events.INTERACTIONS, b'{"event_id": 5}', key=b"bad")
        producer.send_raw(events.INTERACTIONS, large, key=b"bad")
        producer.send(events.CATALOG, item, key="i3")
        producer.send(events.IMPRESSIONS, impression, key="u1")
        producer.send(events.SEEN, look, key="u1")
        producer.send(events.INTERACTIONS, purchase(300, user="session", item="i77"), key="session")
        producer.send(events.IDENTITIES, login, key="session")
        producer.send(events.USERS, tier, key="anna")
    for number, codec in enumerate(CODECS, start=400):  # as a shop's own producers are configured
        shop = KafkaProducer(
            compression_type=codec, enable_idempotence=config.producer_idempotent, **connection_settings(config)
        )
        shop.send(events.INTERACTIONS, value=events.encode(purchase(number, user="u1", item="i1")), key=b"u1")
        shop.flush(30)
        shop.close()

    engine = open_engine(database_url)

    def rest() -> tuple[int, str]:
        with read(engine) as connection:
            lists = connection.scalar(select(func.count()).select_from(impressions)) or 0
            looks = connection.scalar(select(func.count()).select_from(seen_items)) or 0
            attributes = connection.scalar(select(users.c.attributes).where(users.c.user_id == "anna"))
        return lists + looks, str(attributes)

    with worker_process(broker, database_url, redis_url, tmp_path / "log", name="first") as worker:
        worker.wait_for(lambda: stored(database_url) == 301 + len(CODECS) and rest()[0] == 2 and "gold" in rest()[1])
        worker.wait_for(lambda: item_store.get_items(redis, ["i3"])[0] is not None)
        worker.wait_for(lambda: hot.seen(redis, "anna") == {"i77"})
        letters = messages(config, events.DEAD_LETTERS, lambda found: len(found) == 2)
        worker.wait_for(lambda: worker.metric("sagestream_events_total", topic="identities", outcome="stored") == 1)
        # The session itself is announced only where its purchase is stored before its login.
        everybody = {f"u{number}" for number in range(7)} | {"anna"}
        messages(config, events.USERS_TOUCHED, lambda found: everybody <= {json.loads(raw)["user_id"] for raw in found})
        assert worker.ready() == (200, dict.fromkeys(("stream", *WORDS), "ok"))
        assert worker.metric("sagestream_dead_letters_total", topic="interactions", reason="field") == 1
        assert worker.metric("sagestream_dead_letters_total", topic="interactions", reason="size") == 1
        code = worker.stop()
    assert code == 0, worker.log.read_text()[-3000:]
    behind = measure(stream_config_of(broker, worker_group="group-first"), engine, WORDS)
    engine.dispose()

    assert sum(lag.behind for lag in behind) == 0
    assert not [lag.remark for lag in behind if lag.remark]
    dead = [events.decode(letter, events.DeadLetter, now=TIME, max_bytes=2**20) for letter in letters]
    assert {letter.raw for letter in dead} == {b'{"event_id": 5}', large[: events.MAX_DEAD_LETTER_BYTES]}
    assert {letter.topic for letter in dead} == {"interactions"}
    assert hot.seen(redis, "u1") == {f"i{number % 11}" for number in range(300) if number % 7 == 1} | {"i1"}
    (found,) = item_store.get_items(redis, ["i3"])
    assert found is not None
    assert (found.title, found.price) == ("Tea", 2.5)


AUTHORITY = """
-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUFS3Dkv7/8hIwcQkdNxa4biX/8zcwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjMyMjEwNDBaGA8yMTI2MTAzMDIyMTA0
MFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPAa
5cpzTAujFAIN79EKXknzFvbBnrGQ3tybl4hbwSiPm2iA4jmOUkU4u6Rg/VTpDITl
gshxop1kDF4H5ccveRijUzBRMB0GA1UdDgQWBBTv2bbkMZhuzrdwY2WHrX8NWfFv
ATAfBgNVHSMEGDAWgBTv2bbkMZhuzrdwY2WHrX8NWfFvATAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIGIBR+0vPfoXt9dRRFrY27FEjoazlxUd0liD
OInMO8nrAiA/LLV/FU+rzJUGVL4HY7o4UKC7H9vwFYOApfsKXtyzig==
-----END CERTIFICATE-----
"""
"""Signed by itself, for CN=test; its key was thrown away."""


def test_the_settings_of_a_secured_broker_reach_faust(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text(AUTHORITY)
    plain = StreamConfig()
    assert credentials(plain) is None
    encrypted = credentials(StreamConfig(kafka_security_protocol="SSL", kafka_ssl_cafile=str(authority)))
    assert encrypted.protocol.value == "SSL"
    assert [found["subject"] for found in encrypted.context.get_ca_certs()] == [((("commonName", "test"),),)]
    signed_in = StreamConfig(
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username="shop",
        kafka_sasl_password=SecretStr("secret"),
    )
    found = credentials(signed_in)
    assert (found.username, found.password, found.mechanism.value) == ("shop", "secret", "SCRAM-SHA-512")
    assert (found.protocol.value, found.ssl_context) == ("SASL_PLAINTEXT", None)
    both = credentials(signed_in.model_copy(update={"kafka_security_protocol": "SASL_SSL"}))
    assert both.protocol.value == "SASL_SSL"
    assert both.ssl_context is not None


WORDS = ("interactions", "impressions", "catalog", "catalog.changes", "users", "identities", "seen")


WELL_UNDER_WAY = 400
"""Items, of 3,400: by then the worker has taken from the broker all that it ever holds."""


@pytest.mark.kafka
def test_a_broker_that_comes_later_and_a_topic_that_is_made_anew(
    apache_kafka: Broker, tmp_path: Path, redis: Redis, redis_url: str
) -> None:
    broker, config, url = apache_kafka, stream_config_of(apache_kafka), migrated_sqlite(tmp_path / "graph.db")
    renew_topics(broker)
    broker.child.stop()

    def produce(first: int, count: int) -> None:
        with EventProducer(config) as producer:
            for number in range(first, first + count):
                producer.send(events.INTERACTIONS, purchase(number, user=f"u{number}"), key=f"u{number}")

    with worker_process(broker, url, redis_url, tmp_path / "log", name="early") as worker:
        worker.wait_for(lambda: "waiting for Kafka: " in worker.ready()[1].get("stream", ""))
        assert worker.ready()[0] == 503
        broker.child.start()
        wait_until_answering(config, threading.Event(), lambda _: None)
        produce(0, 200)
        worker.wait_for(lambda: stored(url) == 200)
        worker.wait_for(lambda: worker.ready()[0] == 200)
        # With more messages than the old topic had, so that the old offsets are within the new log.
        renew_topics(broker)
        produce(100, 400)
        worker.wait_for(lambda: stored(url) == 500)
        worker.wait_for(lambda: worker.metric("sagestream_events_total", outcome="duplicate") == 100)
        group = stream_config_of(broker, worker_group="group-early")
        engine = open_engine(url)
        worker.wait_for(lambda: sum(lag.behind for lag in measure(group, engine, WORDS)) == 0)
        engine.dispose()


def test_a_batch_that_cannot_be_unpacked_is_told_and_passed_by(
    tmp_path: Path, redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apache Kafka refuses to take such a batch; the embedded broker keeps it as a damaged disk would."""
    broker = start_broker(tmp_path / "tansu", home=None)
    config, url = stream_config_of(broker), migrated_sqlite(tmp_path / "graph.db")
    create_topics(config)
    for codec, name in (("zstd", "damaged"), (None, "good")):
        with monkeypatch.context() as patch:
            patch.setattr("kafka.record.default_records.zstd_encode", lambda _: b"no frame")
            shop = KafkaProducer(compression_type=codec, enable_idempotence=False, **connection_settings(config))
            shop.send(events.INTERACTIONS, events.encode(purchase(1, user=name)), key=b"u", partition=0).get(30)
            shop.close()
    engine = open_engine(url)
    with worker_process(broker, url, redis_url, tmp_path / "log", name="damaged") as worker:
        worker.wait_for(lambda: stored(url) == 1)
        worker.wait_for(
            lambda: (
                sum(
                    lag.behind for lag in measure(stream_config_of(broker, worker_group="group-damaged"), engine, WORDS)
                )
                == 0
            )
        )
        assert worker.metric("sagestream_dead_letters_total", topic="interactions", reason="unreadable") == 1
        assert worker.ready()[0] == 200
    engine.dispose()
    (letter,) = messages(config, events.DEAD_LETTERS, bool)
    assert "from offset 0 to 0 cannot be unpacked (DecompressionError" in json.loads(letter)["error"]
    broker.child.stop()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_slow_database_slows_consumption_and_memory_stays_bounded(
    broker: Broker, database_url: str, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """All that waits at the broker would take some 200 MB."""
    text, count = "ß" * 900, 3400
    large = (
        events.CatalogItem(item_id=f"big{number}", title=text, categories=[text] * 32, event_time=TIME)
        for number in range(count)
    )
    produce(broker, [Message(events.CATALOG, item.item_id.encode(), events.encode(item)) for item in large])
    config = stream_config_of(broker, worker_group="group-slow")
    with worker_process(broker, database_url, redis_url, tmp_path / "log", name="slow", program=SLOW) as worker:
        worker.wait_for(lambda: worker.ready()[0] == 200)
        engine = open_engine(database_url)
        begun, memory = worker.memory_mb(), [0.0]

        def well_under_way() -> bool:
            memory.append(worker.memory_mb())
            with read(engine) as connection:
                return (connection.scalar(select(func.count()).select_from(items)) or 0) >= WELL_UNDER_WAY

        worker.wait_for(well_under_way)
        behind = sum(lag.behind for lag in measure(config, engine, [events.CATALOG]))
        engine.dispose()
        code = worker.stop()
    assert code == 0, worker.log.read_text()[-3000:]
    assert 0 < behind < count
    assert (
        max(memory) - begun < 150
    )  # what waits, the batch in hand as objects, and SQLite's cache of the pages written


def produce(broker: Broker, sent: Sequence[Message]) -> None:
    """As fast as the worker's own announcements go."""

    async def run() -> None:
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, max_batch_size=500_000) as producer:

            async def given() -> AIOKafkaProducer:
                return producer

            await BatchProducer(given).deliver(sent)

    asyncio.run(run())


@pytest.mark.kill
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_rebalances_in_mid_batch_lose_and_double_nothing(
    broker: Broker, database_url: str, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """Workers of one group come, go and are killed while events flow; the group is new, so nothing is committed yet.

    At every moment, what the group has committed must be in the database.
    """
    if broker.kind != "kafka":
        pytest.skip("groups of the embedded broker do not settle after several changes of static members")
    config = stream_config_of(broker, worker_group="rebalanced")
    done = threading.Event()
    sent = itertools.count()
    engine = open_engine(database_url)
    ahead: list[str] = []

    def shop() -> None:
        with EventProducer(config) as producer:
            while not done.wait(0.005):
                for number in itertools.islice(sent, 5):
                    event = msgspec.structs.replace(
                        purchase(number, user=f"r{number % 50}", item=f"i{number % 31}"), event_id=f"r{number}"
                    )
                    producer.send(events.INTERACTIONS, event, key=event.user_id)

    def watch() -> None:
        consumer = open_consumer(config, group_id="rebalanced", enable_auto_commit=False)
        partitions = [TopicPartition(events.INTERACTIONS, number) for number in range(config.kafka_partitions)]
        while not done.wait(0.02):
            committed = {tp.partition: consumer.committed(tp) or 0 for tp in partitions}
            with read(engine) as connection:
                query = select(stream_progress).where(stream_progress.c.topic == events.INTERACTIONS)
                rows = {row.partition: row.next_offset for row in connection.execute(query)}
            ahead.extend(
                f"partition {partition}: committed {offset}, stored up to {rows.get(partition, 0)}"
                for partition, offset in committed.items()
                if offset > rows.get(partition, 0)
            )
        consumer.close()

    def ours() -> int:
        with read(engine) as connection:
            mine = interactions.c.event_id.startswith("r")
            return int(connection.scalar(select(func.count()).select_from(interactions).where(mine)) or 0)

    with ExitStack() as workers, ExitStack() as threads:
        for target in (shop, watch):
            thread = threading.Thread(target=target)
            thread.start()
            threads.callback(thread.join)
        threads.callback(done.set)

        def start(name: str) -> WorkerProcess:
            return workers.enter_context(
                worker_process(broker, database_url, redis_url, tmp_path / name, name=name, worker_group="rebalanced")
            )

        first = start("a")
        first.wait_for(lambda: ours() > 0)
        second = start("b")  # joins while the first has hardly committed anything
        second.wait_for(lambda: second.ready()[0] == 200)
        first.stop()
        again = start("a")
        again.wait_for(lambda: again.ready()[0] == 200)
        second.process.kill()
        third = start("c")
        third.wait_for(lambda: third.ready()[0] == 200)
        before = ours()
        third.wait_for(lambda: ours() > before + 500)
        threads.close()
        total = next(sent)
        third.wait_for(lambda: ours() == total)

        def seen_by_all() -> bool:
            expected = {f"r{user}": {f"i{n % 31}" for n in range(total) if n % 50 == user} for user in range(50)}
            return all(hot.seen(redis, user) == items for user, items in expected.items())

        third.wait_for(seen_by_all)
        third.wait_for(lambda: sum(lag.behind for lag in measure(config, engine, [events.INTERACTIONS])) == 0)
    engine.dispose()
    assert not ahead
