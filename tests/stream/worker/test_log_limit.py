import logging

import pytest
from aiokafka import client, cluster, conn
from aiokafka.consumer import fetcher, group_coordinator
from aiokafka.producer import sender

from stream.worker.log_limit import REPEATING, RepeatFilter, limit_repeated


def test_a_repeated_message_is_logged_once_in_a_while_with_its_number(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    repeated = RepeatFilter(every_seconds=30, clock=lambda: now[0])
    logger = logging.getLogger("tests.repeated")
    logger.addFilter(repeated)
    for second in range(61):
        now[0] = float(second)
        logger.error("no connection to node %s", second)
        logger.warning("another message")
    logger.removeFilter(repeated)
    assert caplog.messages == [
        "no connection to node 0",
        "another message",
        "no connection to node 30 (and 29 more like this)",
        "another message (and 29 more like this)",
        "no connection to node 60 (and 29 more like this)",
        "another message (and 29 more like this)",
    ]


def test_the_clients_loggers_are_limited() -> None:
    """By the names that their modules use: a filter does not hold for the loggers below one."""
    modules = (client, cluster, conn, fetcher, group_coordinator, sender)
    assert {module.log.name for module in modules} == set(REPEATING)
    limit_repeated()
    for module in modules:
        (mine,) = (one for one in module.log.filters if isinstance(one, RepeatFilter))
        module.log.removeFilter(mine)
