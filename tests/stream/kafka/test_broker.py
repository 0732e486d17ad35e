import socket
import threading

import pytest
from kafka.errors import KafkaError

from sagestream.playground.embedded import Broker
from stream.config import StreamConfig
from stream.kafka.broker import address_of, check_reachable, wait_until_answering
from tests.brokers import stream_config_of


def config(servers: str) -> StreamConfig:
    return StreamConfig(kafka_bootstrap_servers=servers)


def test_one_broker_of_several_suffices() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        check_reachable(config(f"127.0.0.1:1,127.0.0.1:{port}"))


def test_none_is_an_error_that_names_them() -> None:
    with pytest.raises(KafkaError, match=r"127\.0\.0\.1:1"):
        check_reachable(config("127.0.0.1:1"))


def test_a_broker_that_answers_later_is_waited_for(tansu: Broker) -> None:
    stop, told = threading.Event(), list[str]()

    def note(problem: str) -> None:
        told.append(problem)
        if len(told) == 1:
            stop.set()

    assert not wait_until_answering(config("127.0.0.1:1"), stop, note, retry_seconds=0.01)
    assert told == ["Kafka: KafkaConnectionError: no broker at 127.0.0.1:1: Connection refused"]
    assert wait_until_answering(stream_config_of(tansu), threading.Event(), told.append)
    assert told[1:] == [""]


@pytest.mark.parametrize(
    ("server", "address"),
    [("kafka:9093", ("kafka", 9093)), ("kafka", ("kafka", 9092)), (" [::1]:9094", ("::1", 9094))],
)
def test_addresses(server: str, address: tuple[str, int]) -> None:
    assert address_of(server) == address
