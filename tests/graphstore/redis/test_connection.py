"""A connection to Redis: refused at once where it is a cluster."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, RedisError

from graphstore.outages import service_of
from graphstore.redis.connection import CLUSTER, RedisCluster, open_redis
from sagestream.playground.embedded import LOOPBACK, START_SECONDS, accepts, free_port, redis_binary
from sagestream.playground.processes import Child
from tests.scripted import scripted


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    options = {"port": port, "bind": LOOPBACK, "dir": tmp_path, "cluster-enabled": "yes", "save": ""}
    options["cluster-port"] = free_port()
    command = [redis_binary(), *(str(part) for name, value in options.items() for part in (f"--{name}", value))]
    child = Child("redis", command, tmp_path / "redis.log")
    child.start()
    child.wait_ready(lambda: accepts(port), START_SECONDS)
    yield f"redis://{LOOPBACK}:{port}/0"
    child.stop()


@pytest.mark.service
def test_a_cluster_is_refused_and_not_waited_for(cluster: str) -> None:
    redis = open_redis(cluster)
    for command in (redis.ping, lambda: redis.mget("a", "b")):
        with pytest.raises(RedisCluster, match="does not support") as refused:
            command()
        assert service_of(refused.value) is None  # no wait would help
        assert str(refused.value) == CLUSTER
    redis.close()


def test_one_redis_is_let_in_also_by_a_user_who_may_not_ask(redis: Redis, redis_url: str) -> None:
    redis.acl_setuser("reader", enabled=True, passwords=["+secret"], commands=["+get", "+ping"], keys=["*"])
    try:
        redis.set("a", "1")
        reader = open_redis(redis_url.replace("//", "//reader:secret@"))
        assert reader.get("a") == b"1"
        with pytest.raises(NoPermissionError):
            reader.info("cluster")
        reader.close()
        anybody = open_redis(redis_url)
        assert anybody.get("a") == b"1"
        anybody.close()
    finally:
        redis.acl_deluser("reader")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-NOAUTH Authentication required.\r\n",
    ],
)
def test_a_sick_server_is_an_error_of_redis_after_few_connections(said: bytes) -> None:
    """A server that starts again, that wants a password, or that stands behind a proxy with nothing behind."""

    def sick(connection: socket.socket) -> None:
        while said and connection.recv(65536):
            connection.sendall(said)

    with scripted([sick]) as (url, taken):
        client = open_redis(url.replace("http", "redis"), timeout_seconds=5)
        with pytest.raises(RedisError):
            client.get("a")
        client.close()
    assert len(taken) <= 4
