import socket

import pytest
from kafka.errors import KafkaError

from stream.config import StreamConfig
from stream.kafka.broker import address_of, check_reachable


def config(servers: str) -> StreamConfig:
    return StreamConfig(kafka_bootstrap_servers=servers)


def test_one_broker_of_several_suffices() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        check_reachable(config(f"127.0.0.1:1,127.0.0.1:{port}"))


def test_none_is_an_error_that_names_them() -> None:
    with pytest.raises(KafkaError, match=r"127\.0\.0\.1:1"):
        check_reachable(config("127.0.0.1:1"))


@pytest.mark.parametrize(
    ("server", "address"),
    [("kafka:9093", ("kafka", 9093)), ("kafka", ("kafka", 9092)), (" [::1]:9094", ("::1", 9094))],
)
def test_addresses(server: str, address: tuple[str, int]) -> None:
    assert address_of(server) == address
