"""What Sagestream asks of a broker: one suite for the embedded one, Apache Kafka, and one that runs already
(`KAFKA_BOOTSTRAP_SERVERS`).

What the embedded broker is documented not to do is marked: it compacts nothing, knows no producer ids, and keeps its
log in memory only, so that there is nothing to find again after a kill.
"""

import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from sagestream.playground.embedded import accepts
from stream import events
from stream.kafka.clients import connection_settings, open_admin
from stream.kafka.producer import EventProducer
from stream.kafka.topics import TOPICS
from tests.contracts.conftest import Target
from tests.kills.broker_log import BrokerLog, Record
from tests.kills.campaign import Campaign
from tests.kills.comparison import compare_log
from tests.kills.expected import RULES
from tests.kills.kills import Kills
from tests.kills.load import Load, Shoppers
from tests.kills.shop import create_prefixed_topics
from tests.waiting import wait_until

WAIT_SECONDS = 180.0
BACK_SECONDS = 20.0
"""A loose bound: the producer is back within two seconds on a quiet machine."""


def read(target: Target, *topics: str) -> list[Record]:
    with contextlib.closing(BrokerLog(target.config, topics, target.prefix)) as log:
        return log.read()


def test_topics_have_their_documented_partitions(target: Target) -> None:
    names = [target.topic(topic.name) for topic in TOPICS]
    expected = {target.topic(topic.name): topic.partitions or target.config.kafka_partitions for topic in TOPICS}
    described: dict[str, int] = {}

    def known() -> bool:
        with contextlib.closing(open_admin(target.config)) as admin:
            described.update({row["name"]: len(row["partitions"]) for row in admin.describe_topics(names)})
        return all(described.values())

    wait_until(known)  # a topic is created a moment before every broker knows of it
    assert described == expected


def test_topics_are_compacted_as_documented(target: Target) -> None:
    if target.kind == "tansu":
        pytest.skip("the embedded broker compacts nothing")
    resources = [ConfigResource(ConfigResourceType.TOPIC, target.topic(topic.name)) for topic in TOPICS]
    with contextlib.closing(open_admin(target.config)) as admin:
        (told,) = admin.describe_configs(resources, config_filter="all").values()
    policies = {name: settings["cleanup.policy"]["value"] for name, settings in told.items()}
    assert policies == {target.topic(topic.name): "compact" if topic.compacted else "delete" for topic in TOPICS}


def test_creating_the_topics_again_creates_nothing(target: Target) -> None:
    assert create_prefixed_topics(target.config, target.prefix) == []


def test_messages_of_a_key_keep_their_order_and_their_partition(target: Target) -> None:
    sent = [(f"key{number % 5}".encode(), str(number).encode()) for number in range(400)]
    with EventProducer(target.config) as producer:
        for key, value in sent:
            producer.send_raw(target.topic(events.USERS_TOUCHED), value, key=key)
    assert producer.delivered == len(sent)
    found = read(target, events.USERS_TOUCHED)
    for key in {key for key, _ in sent}:
        mine = [record for record in found if record.key == key]
        assert [record.value for record in mine] == [value for name, value in sent if name == key]
        assert len({record.partition for record in mine}) == 1
    assert len({record.partition for record in found}) > 1


def test_keys_headers_and_null_values_arrive_as_they_were_sent(target: Target) -> None:
    topic = target.topic(events.DEAD_LETTERS)
    headers = [("reason", b"\xff\x00"), ("reason", b"again")]
    settings = connection_settings(target.config)
    producer = KafkaProducer(enable_idempotence=target.config.producer_idempotent, **settings)
    producer.send(topic, key=b"\x00\xff", value=b"", headers=headers)
    producer.send(topic, key=None, value=b"no key")
    producer.flush(30)
    producer.close()
    with EventProducer(target.config) as ours:
        ours.send_raw(topic, None, key="schlüssel".encode())
    consumer = KafkaConsumer(
        topic, auto_offset_reset="earliest", consumer_timeout_ms=15_000, fetch_max_wait_ms=40, **settings
    )
    with contextlib.closing(consumer):
        found = [message for _, message in zip(range(3), consumer, strict=False)]
    assert [(message.key, message.value) for message in found] == [
        (b"\x00\xff", b""),
        (None, b"no key"),
        ("schlüssel".encode(), None),
    ]
    assert [tuple(header) for header in found[0].headers] == headers


def test_a_message_tells_when_it_was_sent(target: Target) -> None:
    """A delete is as old as its message."""
    before = time.time() * 1000
    with EventProducer(target.config) as producer:
        producer.send_raw(target.topic(events.USERS), None, key=b"gone")
    (record,) = (record for record in read(target, events.USERS) if record.key == b"gone")
    assert before - 1 <= record.timestamp <= time.time() * 1000 + 1


@pytest.mark.kill
def test_a_rebalance_under_load_loses_and_doubles_nothing(target: Target, tmp_path: Path) -> None:
    """A second worker joins; then, on Apache Kafka, one leaves and another one takes its place.

    On the embedded broker a static member that left is waited for, and the group never settles without it.
    """
    plan = [Kills.join] if target.kind == "tansu" else [Kills.join, Kills.replace]
    prefix = f"{target.prefix}rebalance."
    campaign = Campaign(tmp_path, "sqlite", None, seed=2, workers=1, plan=plan, given=target.environment, prefix=prefix)
    try:
        outcome = campaign.run()
    finally:
        with contextlib.closing(open_admin(target.config)) as admin:
            admin.delete_topics([prefix + topic.name for topic in TOPICS])
    assert not outcome.differences, outcome.differences.shown()
    assert outcome.also["rebalance"] == len(plan)
    assert outcome.events > 500


@pytest.mark.kill
def test_what_a_killed_producer_was_told_is_in_the_log(target: Target) -> None:
    command = [sys.executable, "-m", "tests.contracts.acknowledging_producer", target.topic(events.IMPRESSIONS)]
    environment = {**os.environ, **target.environment}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(500)]
        process.kill()
        told += process.stdout.read().splitlines()
    acknowledged = [tuple(map(int, line.split())) for line in told if line.count(" ") == 2]
    assert len(acknowledged) >= 500
    kept = {(record.partition, record.offset): record.value for record in read(target, events.IMPRESSIONS)}
    for partition, offset, number in acknowledged:
        assert kept[partition, offset] == str(number).encode()


@pytest.mark.kill
def test_a_killed_broker_forgets_nothing_and_the_producer_is_soon_back(target: Target) -> None:
    if target.kind == "tansu":
        pytest.skip("the embedded broker keeps its log in memory")
    if target.broker is None:
        pytest.skip("this broker is not ours to kill")
    child, port = target.broker.child, int(target.broker.bootstrap_servers.rpartition(":")[2])
    with EventProducer(target.config) as producer:
        shoppers = Shoppers(random.Random(3), time.time)
        load = Load(producer, shoppers, random.Random(4), rate=400, prefix=target.prefix)
        for _ in range(2):
            before = len(load.acknowledged)
            wait_until(lambda before=before: len(load.acknowledged) > before + 200)  # type: ignore[misc]
            assert child.pid is not None
            os.kill(child.pid, 9)
            wait_until(lambda: not child.alive)
            child.start()
            child.wait_ready(lambda: accepts(port), WAIT_SECONDS)
            before = len(load.acknowledged)
            wait_until(lambda before=before: len(load.acknowledged) > before, seconds=BACK_SECONDS)  # type: ignore[misc]
        load.stop()
    log = read(target, *RULES)
    found = compare_log(log, load.acknowledged)
    assert not found, found.shown()
    ours = {(message.topic, message.key, message.value) for message in load.acknowledged.values()}
    mine = [record for record in log if (record.topic, record.key, record.value) in ours]
    assert len(mine) == load.sent == len(load.acknowledged), "the producer's retries doubled messages in the log"
