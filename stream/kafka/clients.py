"""Connection to Kafka: kafka-python's settings, and clients that leave nothing behind.

Arrives: settings. Leaves: a connected client, or the reason why not. Next: `stream.kafka.subscription` and all others.

A client that cannot connect raises from its constructor: a broker that does not answer, a wrong password, an untrusted
certificate. kafka-python 3.0.12 then leaves three or four open files, and a thread, and nobody has the client to close
it. A service that tries again each second would have no files left within five minutes. A producer has no thread yet,
so the garbage collector closes its files, but in a web process that is seldom.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.net.compat import KafkaNetClient

from stream.config import StreamConfig
from stream.kafka.connection_errors import reason_of_failure

_Client = TypeVar("_Client")


def connection_settings(config: StreamConfig) -> dict[str, Any]:
    """Return kafka-python's connection settings, the same for producer, consumer and admin client.

    `reconnect_backoff_max_ms` is set because the default waits up to 30 s after a broker restart.
    """
    servers = config.kafka_bootstrap_servers.split(",")
    settings: dict[str, Any] = {
        "bootstrap_servers": servers,
        "security_protocol": config.kafka_security_protocol,
        "reconnect_backoff_max_ms": 1000,
    }
    if config.kafka_sasl_mechanism:
        password = config.kafka_sasl_password
        settings |= {
            "sasl_mechanism": config.kafka_sasl_mechanism,
            "sasl_plain_username": config.kafka_sasl_username,
            "sasl_plain_password": password.get_secret_value() if password else None,
        }
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        if file := getattr(config, f"kafka_{name}"):
            settings[name] = file
    return settings


def open_consumer(config: StreamConfig, *topics: str, **settings: Any) -> KafkaConsumer:
    """Return a connected consumer with these settings of kafka-python. Raises `KafkaError` with the reason."""
    return _opened(KafkaConsumer, *topics, **connection_settings(config), **settings)


def open_producer(config: StreamConfig, **settings: Any) -> KafkaProducer:
    """Return a connected producer with these settings of kafka-python. Raises `KafkaError` with the reason."""
    return _opened(KafkaProducer, **connection_settings(config), **settings)


def open_admin(config: StreamConfig, **settings: Any) -> KafkaAdminClient:
    """Return a connected admin client with these settings of kafka-python. Raises `KafkaError` with the reason."""
    return _opened(KafkaAdminClient, **connection_settings(config), **settings)


def _opened(make: Callable[..., _Client], *topics: str, **settings: Any) -> _Client:
    made: list[KafkaNetClient] = []

    def remembered(**inner: Any) -> KafkaNetClient:
        made.append(KafkaNetClient(**inner))
        return made[-1]

    try:
        with reason_of_failure():
            return make(*topics, kafka_client=remembered, **settings)
    except BaseException:
        for client in made:
            client.close()
        raise
