"""The one way to open Redis: a client that never waits without end.

Arrives: a URL of the configuration. Leaves: a client. Next: everything that reads or writes Redis.
"""

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from graphstore.addresses import REDIS_EXAMPLE, check_redis_url
from graphstore.errors import UserError

TIMEOUT_SECONDS = 10.0
"""How long a process waits for an answer, unless it says otherwise: a reader waits for less."""

HEALTH_CHECK_SECONDS = 30


class WrongRedisUrl(UserError):
    """The setting is no address of a Redis."""


def open_redis(
    url: str, *, timeout_seconds: float = TIMEOUT_SECONDS, kind: type[Redis] = Redis, repeat_timeouts: bool = True
) -> Redis:
    """A client (bytes, thread safe, one pool) that gives up after `timeout_seconds` and one more try.

    Without `repeat_timeouts` only a broken connection is tried again, so that `timeout_seconds` is the whole wait.
    Nothing is connected yet. Raises `WrongRedisUrl`.
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
        )
    except ValueError:  # of an option behind the ?; its words repeat the value
        raise WrongRedisUrl(f"an option in the URL of Redis has a wrong value; a URL is as {REDIS_EXAMPLE}") from None
