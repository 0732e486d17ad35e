"""A broker that tests share: settings that reach it, and its topics made anew, so that a module finds them empty."""

import contextlib
import time

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from sagestream.playground.embedded import Broker
from stream.config import StreamConfig
from stream.kafka.topics import TOPICS, connection_settings, create_topics

NO_KAFKA = "Apache Kafka was not tested: set KAFKA_HOME to a distribution, with Java 17"
ANEW_SECONDS = 30.0


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
    with contextlib.closing(KafkaAdminClient(**connection_settings(config))) as admin:
        deadline = time.monotonic() + ANEW_SECONDS
        while old := [name for name in admin.list_topics() if not name.startswith("__")]:
            assert time.monotonic() < deadline, f"topics that are not deleted: {old}"
            with contextlib.suppress(KafkaError):  # some are gone by now
                admin.delete_topics(old)
            time.sleep(0.05)
        names = [topic.name for topic in TOPICS]
        while True:
            create_topics(config)
            described = admin.describe_topics(names)
            if all(row["error_code"] == 0 and row["partitions"] for row in described):
                return
            assert time.monotonic() < deadline, f"topics that are not created: {described}"
            time.sleep(0.05)
