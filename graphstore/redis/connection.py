"""The one way to open Redis: a client that never waits without end.

Arrives: a URL of the configuration. Leaves: a client. Next: everything that reads or writes Redis.
"""

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from graphstore.errors import UserError, shown_url

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
        return kind.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 1) if repeat_timeouts else Retry(NoBackoff(), 1, (RedisConnectionError,)),
            health_check_interval=HEALTH_CHECK_SECONDS,
        )
    except ValueError as error:
        raise WrongRedisUrl(f"{shown_url(url)!r} is no URL of a Redis, as redis://127.0.0.1:6379/0: {error}") from error
