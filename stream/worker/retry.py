"""Retry: repeats a step of the current batch until its service is reachable again.

Arrives: a step of a batch. Leaves: its result, after any time. Next: `stream.worker.worker`.

Other errors are raised: a retry would not solve them.
"""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.errors import KafkaError, KafkaTimeoutError

from graphstore import outages
from stream.worker.topic_status import TopicStatus

logger = logging.getLogger(__name__)

KAFKA = "kafka"

RETRY_FIRST_SECONDS = 0.1
RETRY_MAX_SECONDS = 2.0

_T = TypeVar("_T")


def service_of(error: BaseException) -> str | None:
    """Return the service that is unreachable, locked or full; None when a retry cannot solve the error."""
    if isinstance(error, KafkaTimeoutError) or (isinstance(error, KafkaError) and error.retriable):
        return KAFKA
    return outages.service_of(error)


async def retry_until_reachable(
    step: Callable[[], Awaitable[_T]], *, doing: str, topic: str, standing: TopicStatus
) -> _T:
    """Run `step` until it succeeds. Meanwhile this agent waits, and its topic is not consumed.

    Args:
        step: the work to repeat.
        doing: the name of the step, for the probe.
        topic: the topic of the batch.
        standing: where the topic's status is kept.

    Raises:
        Exception: an error that a retry cannot solve (`service_of` returns None).
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
        # A failed step leaves cycles that hold its whole batch, and the collector of the worker runs seldom.
        gc.collect()


def first_line(error: BaseException) -> str:
    """Return the error's message without the SQL statement and its parameters."""
    return str(error).partition("\n")[0]
