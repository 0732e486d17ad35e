"""The brokers that the contract is held against: the embedded one, Apache Kafka, and one that runs already."""

import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from sagestream.playground.embedded import Broker, find_kafka, start_broker
from stream.config import StreamConfig
from stream.kafka.clients import open_admin
from tests.brokers import NO_KAFKA
from tests.kills.shop import create_prefixed_topics

GIVEN = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")


@dataclass(frozen=True)
class Target:
    """One broker, with the topics of the contract under a `prefix` of their own."""

    kind: str
    """`tansu`, `kafka`, or `given`: one that runs already and is not ours to kill."""
    prefix: str
    environment: Mapping[str, str]
    config: StreamConfig
    broker: Broker | None

    def topic(self, name: str) -> str:
        """The topic's name on this broker."""
        return self.prefix + name


def _brokers() -> list[object]:
    kafka = [pytest.param("kafka", marks=pytest.mark.kafka)]
    given = [pytest.param("given", marks=pytest.mark.kafka)] if GIVEN else []
    return ["tansu", *kafka, *given]


@pytest.fixture(scope="module", params=_brokers())
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    kind = str(request.param)
    prefix = f"contract-{secrets.token_hex(4)}."
    broker, environment = None, {"SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS": GIVEN}
    if kind != "given":
        home = find_kafka() if kind == "kafka" else None
        if kind == "kafka" and home is None:
            pytest.skip(NO_KAFKA)
        broker = start_broker(tmp_path_factory.mktemp(kind), home=home)
        environment = broker.environment
    names = {name.removeprefix("SAGESTREAM_").lower(): value for name, value in environment.items()}
    made = Target(kind, prefix, environment, StreamConfig.model_validate(names), broker)
    try:
        created = create_prefixed_topics(made.config, prefix)
        yield made
        if broker is None:
            admin = open_admin(made.config)
            admin.delete_topics(created)
            admin.close()
    finally:
        if broker is not None:
            broker.child.stop()
