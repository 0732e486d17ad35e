"""Patience: a service that is away is waited for, the batch in hand; anything else is an error.

Arrives: a step of a batch's work. Leaves: its result, however long that takes. Next: `stream.worker.worker`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.errors import KafkaError, KafkaTimeoutError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import InterfaceError, OperationalError

from stream.worker.topic_status import TopicStatus

logger = logging.getLogger(__name__)

DATABASE, REDIS, KAFKA = "database", "redis", "kafka"

RETRY_FIRST_SECONDS = 0.1
RETRY_MAX_SECONDS = 2.0

_T = TypeVar("_T")


def service_of(error: BaseException) -> str | None:
    """The service that is away, locked or full, and worth waiting for; None where waiting cannot mend the error."""
    if isinstance(error, OperationalError | InterfaceError):
        return DATABASE
    if isinstance(error, RedisConnectionError | RedisTimeoutError | OutOfMemoryError | ReadOnlyError):
        return REDIS
    if isinstance(error, KafkaTimeoutError) or (isinstance(error, KafkaError) and error.retriable):
        return KAFKA
    return None


async def patiently(step: Callable[[], Awaitable[_T]], *, doing: str, topic: str, standing: TopicStatus) -> _T:
    """Take `step` again until it succeeds; this agent stands still meanwhile, and consumption with it.

    `doing` names the step for the probe. Raises what waiting cannot mend.
    """
    standing.do(topic, doing)
    wait = RETRY_FIRST_SECONDS
    while True:
        try:
            result = await step()
        except Exception as error:
            service = service_of(error)
            if service is None:
                raise
            reason = first_line(error)
            logger.warning("%s: %s a batch waits %.1f s, %s: %s", topic, doing, wait, service, reason)
            standing.wait(topic, service, reason)
            await asyncio.sleep(wait)
            wait = min(2 * wait, RETRY_MAX_SECONDS)
        else:
            standing.go_on(topic)
            return result


def first_line(error: BaseException) -> str:
    """What the error says, without the statement and its parameters."""
    return str(error).partition("\n")[0]
