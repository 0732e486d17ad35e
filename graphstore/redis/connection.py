"""The one way to open Redis: a client that never waits without end, and refuses a Redis Cluster.

A batch is one script or one transaction over the keys of many shoppers, and a pointer is switched together with its
routing. A cluster cannot do that, because it spreads keys over nodes: most commands would fail, each at another time.
So each new connection asks first. Rejected: hash tags, which would put all keys on one node again. A shop that outgrows
one Redis raises its memory, or lowers the visitor days.

Arrives: a URL of the configuration. Leaves: a client. Next: everything that reads or writes Redis.
"""

from redis import Connection, Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from graphstore.addresses import REDIS_EXAMPLE, check_redis_url
from graphstore.errors import UserError

TIMEOUT_SECONDS = 10.0
"""How long a process waits for an answer, unless it says otherwise: a reader waits for less."""

HEALTH_CHECK_SECONDS = 30

CLUSTER = (
    "this is a Redis Cluster, which Sagestream does not support: give it one Redis (with replicas, if it shall survive "
    "its machine)"
)


class WrongRedisUrl(UserError):
    """The setting is no address of a Redis."""


class RedisCluster(UserError, RedisError):
    """The server is a node of a Redis Cluster."""


def open_redis(
    url: str, *, timeout_seconds: float = TIMEOUT_SECONDS, kind: type[Redis] = Redis, repeat_timeouts: bool = True
) -> Redis:
    """A client (bytes, thread safe, one pool) that gives up after `timeout_seconds` and one more try.

    Without `repeat_timeouts` only a broken connection is tried again, so that `timeout_seconds` is the whole wait.
    Nothing is connected yet: each connection raises `RedisCluster` for a cluster. Raises `WrongRedisUrl`.
    """
    try:
        check_redis_url(url)
    except ValueError as error:
        raise WrongRedisUrl(str(error)) from None
    try:
        return kind.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 1) if repeat_timeouts else Retry(NoBackoff(), 1, (RedisConnectionError,)),
            health_check_interval=HEALTH_CHECK_SECONDS,
            redis_connect_func=_refuse_cluster,
        )
    except ValueError:  # of an option behind the ?; its words repeat the value
        raise WrongRedisUrl(f"an option in the URL of Redis has a wrong value; a URL is as {REDIS_EXAMPLE}") from None


def _refuse_cluster(connection: Connection) -> None:
    """Log in, and ask whether the server is a cluster. A user who may not ask is let in.

    A check of the health would ping, and connect again after a ping that failed, which asks again, until the stack is
    full: redis-py's own connections have none while they log in.
    """
    connection.on_connect_check_health(check_health=False)
    connection.send_command("INFO", "cluster", check_health=False)  # type: ignore[no-untyped-call]
    try:
        answer = connection.read_response()
    except ResponseError:  # the rights of the user do not include INFO
        return
    if b"cluster_enabled:1" in bytes(answer):
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise RedisCluster(CLUSTER)
