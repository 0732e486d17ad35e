"""What a full, closed or loading service answers is waited for. Each answer is one of a real Redis."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

from graphstore.outages import service_of
from graphstore.session import write
from sagestream.playground.embedded import start_redis
from stream.worker.sink import Sink
from tests.stream.worker.test_sink import NOW, bought
from tests.waiting import wait_until

NOTHING = Exception("e")

Cure = Callable[[], object]
Close = Callable[[Redis], Cure]


@pytest.mark.parametrize(
    ("error", "service"),
    [
        (OperationalError("s", {}, Exception("database or disk is full")), "database"),
        (RedisConnectionError("refused"), "redis"),
        (ResponseError("MISCONF Errors writing to the AOF file: No space left on device"), "redis"),
        (ResponseError("Error running script: @user_script: 7: -OOM command not allowed when used memory"), "redis"),
        (OSError(errno.ENOSPC, "No space left on device", "some file"), "disk"),
        (FileNotFoundError(errno.ENOENT, "no such file", "some file"), None),
        (ResponseError("WRONGTYPE Operation against a key"), None),
        (IntegrityError("s", {}, NOTHING), None),
        (ProgrammingError("s", {}, NOTHING), None),
        (TypeError("ours"), None),
    ],
)
def test_what_waiting_helps(error: Exception, service: str | None) -> None:
    assert service_of(error) == service


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis that a test may fill and close."""
    url, child = start_redis(tmp_path / "redis")
    client = Redis.from_url(url)
    yield client
    client.close()
    child.stop()


def without_disk(redis: Redis) -> Cure:
    redis.config_set("save", "3600 1")  # only then a failed save forbids writes
    in_the_way = Path(redis.config_get("dir")["dir"]) / "dump.rdb"
    in_the_way.mkdir()

    def save(status: str) -> None:
        redis.bgsave()
        wait_until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == status)

    def cure() -> None:
        in_the_way.rmdir()
        save("ok")

    save("err")
    return cure


def with_password(redis: Redis) -> Cure:
    admin = Redis(port=redis.get_connection_kwargs()["port"])
    admin.config_set("requirepass", "x")  # the connection of `admin` stays open
    redis.connection_pool.disconnect()

    def cure() -> None:
        admin.config_set("requirepass", "")
        admin.close()

    return cure


def configured(name: str, value: str, usual: str) -> Close:
    def close(redis: Redis) -> Cure:
        redis.config_set(name, value)
        return lambda: redis.config_set(name, usual)

    return close


def replica(redis: Redis) -> Cure:
    redis.replicaof("127.0.0.1", 1)
    return lambda: redis.replicaof("NO", "ONE")


CLOSED: dict[str, Close] = {
    "a replica": replica,
    "no replicas": configured("min-replicas-to-write", "1", "0"),
    "no disk": without_disk,
    "a password": with_password,
}


@pytest.mark.service
@pytest.mark.parametrize("how", CLOSED)
def test_a_redis_that_takes_nothing_is_waited_for_and_then_holds_all(
    own_redis: Redis, sqlite_engine: Engine, how: str
) -> None:
    sink = Sink(sqlite_engine, own_redis, recent_items=5)
    cure = CLOSED[how](own_redis)
    try:
        for step in (lambda: sink.store_interactions([bought(1)], now=NOW), lambda: sink.refresh_trending(now=NOW)):
            with pytest.raises(RedisError) as refused:
                step()
            assert service_of(refused.value) == "redis", refused.value
    finally:
        cure()
    sink.store_interactions([bought(1)], now=NOW)
    assert own_redis.smembers("seen:u") == {b"i"}


def test_a_database_that_only_reads_is_waited_for(engine: Engine) -> None:
    with pytest.raises(DBAPIError) as refused, write(engine) as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
        else:
            connection.execute(text("SET TRANSACTION READ ONLY"))
        connection.execute(text("DELETE FROM users"))
    assert service_of(refused.value) == "database", refused.value
