"""A broker that tests share: settings that reach it, and its topics created again, empty, for each module."""

import contextlib

from kafka.errors import KafkaError

from sagestream.playground.embedded import Broker
from stream.config import StreamConfig
from stream.kafka.clients import open_admin
from stream.kafka.topics import TOPICS, create_topics
from tests.waiting import wait_until

NO_KAFKA = "Apache Kafka was not tested: set KAFKA_HOME to a distribution, with Java 17"
EMPTY_SECONDS = 120.0


def stream_config_of(broker: Broker, **settings: object) -> StreamConfig:
    """Settings that reach the broker."""
    return StreamConfig.model_validate(
        {
            "kafka_bootstrap_servers": broker.bootstrap_servers,
            "producer_idempotent": broker.kind == "kafka",
            "probe_port": 0,
            **settings,
        }
    )


def renew_topics(broker: Broker) -> None:
    """Delete all topics of an Apache Kafka, and with them what groups have committed; create those of the contract.

    Kafka deletes and creates a moment after it has said so.
    """
    config = stream_config_of(broker)
    with contextlib.closing(open_admin(config)) as admin:
        names = [topic.name for topic in TOPICS]

        def old() -> list[str]:
            return [name for name in admin.list_topics() if not name.startswith("__")]

        def deleted() -> bool:
            with contextlib.suppress(KafkaError):  # some are gone by now
                admin.delete_topics(old())
            return not old()

        def created() -> bool:
            create_topics(config)
            described = admin.describe_topics(names)
            return all(row["error_code"] == 0 and row["partitions"] for row in described)

        wait_until(deleted, seconds=EMPTY_SECONDS, told=lambda: f"topics that are not deleted: {old()}")
        wait_until(created, seconds=EMPTY_SECONDS, told=lambda: f"topics that are not created: {names}")
