"""Topics and the settings that reach a broker. On real brokers: `tests/contracts`."""

import socket

import pytest
from kafka.errors import KafkaTimeoutError

from stream import events
from stream.config import StreamConfig
from stream.kafka.clients import connection_settings
from stream.kafka.topics import TOPICS, create_topics
from tests.waiting import without_waiting


def test_every_topic_of_the_contract_is_created() -> None:
    named = {value for name, value in vars(events).items() if name.isupper() and isinstance(value, str)}
    assert {topic.name for topic in TOPICS} == named


@pytest.mark.parametrize("listens", [False, True])
def test_a_broker_that_does_not_answer_is_an_error_with_its_reason_in_time(listens: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if listens else 1
        with without_waiting(20), pytest.raises(KafkaTimeoutError, match=f"127.0.0.1:{port}"):
            create_topics(StreamConfig(kafka_bootstrap_servers=f"127.0.0.1:{port}"), timeout_seconds=0.5)


def test_sasl_and_tls_reach_the_client() -> None:
    config = StreamConfig.model_validate(
        {
            "kafka_bootstrap_servers": "a:1,b:2",
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_sasl_username": "shop",
            "kafka_sasl_password": "secret",
            "kafka_ssl_cafile": "/ca.pem",
            "kafka_ssl_certfile": "/shop.pem",
            "kafka_ssl_keyfile": "/shop.key",
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
        "ssl_certfile": "/shop.pem",
        "ssl_keyfile": "/shop.key",
    }
    assert "secret" not in repr(config)
