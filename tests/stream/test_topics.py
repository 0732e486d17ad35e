"""Topics: created once, with their partitions and compaction."""

import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from sagestream.embedded import Broker
from stream import events
from stream.config import StreamConfig
from stream.topics import TOPICS, connection_settings, create_topics


def test_creating_again_creates_nothing(stream_config: StreamConfig) -> None:
    assert create_topics(stream_config) == []


def test_partitions_are_as_documented(stream_config: StreamConfig) -> None:
    admin = KafkaAdminClient(**connection_settings(stream_config))
    try:
        described = {row["name"]: len(row["partitions"]) for row in admin.describe_topics([t.name for t in TOPICS])}
    finally:
        admin.close()
    assert described == {topic.name: topic.partitions or stream_config.kafka_partitions for topic in TOPICS}


def test_compaction_is_as_documented(broker: Broker, stream_config: StreamConfig) -> None:
    if broker.kind != "kafka":
        pytest.skip("the embedded broker keeps everything in memory and compacts nothing")
    admin = KafkaAdminClient(**connection_settings(stream_config))
    try:
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in TOPICS]
        answer = admin.describe_configs(resources)
    finally:
        admin.close()
    text = str(answer)
    assert text.count("compact") >= sum(topic.compacted for topic in TOPICS)


def test_every_topic_of_the_contract_is_created() -> None:
    named = {value for name, value in vars(events).items() if name.isupper() and isinstance(value, str)}
    assert {topic.name for topic in TOPICS} == named


def test_sasl_and_tls_reach_the_client() -> None:
    config = StreamConfig.model_validate(
        {
            "kafka_bootstrap_servers": "a:1,b:2",
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_sasl_username": "shop",
            "kafka_sasl_password": "secret",
            "kafka_ssl_cafile": "/ca.pem",
        }
    )
    assert connection_settings(config) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "SASL_SSL",
        "reconnect_backoff_max_ms": 1000,
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "shop",
        "sasl_plain_password": "secret",
        "ssl_cafile": "/ca.pem",
    }
    assert "secret" not in repr(config)
