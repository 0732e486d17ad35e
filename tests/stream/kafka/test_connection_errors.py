"""The reason of a failed connection: the refusal, not the silence that follows it."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from kafka.errors import KafkaConnectionError, KafkaTimeoutError, SaslAuthenticationFailedError

from stream.kafka.connection_errors import SOURCE, reason_of_failure

LOG = logging.getLogger(SOURCE)


def connect(*failures: Exception) -> None:
    """As kafka-python does: each failed try into the log, an error without a reason at the end."""
    with reason_of_failure():
        for failure in failures:
            LOG.warning("Bootstrap connection to %s failed: %s (backoff %.2f secs)", "bootstrap-0", failure, 0.1)
        error = KafkaTimeoutError("Unable to bootstrap")
        LOG.error("Bootstrap failed: %s", error)
        raise error


def test_the_last_failure_is_the_reason() -> None:
    with pytest.raises(KafkaTimeoutError, match=r"Unable to bootstrap: .*refused"):
        connect(KafkaConnectionError("unreachable"), KafkaConnectionError("refused"))


def test_a_refusal_outweighs_the_silence_after_it() -> None:
    with pytest.raises(KafkaTimeoutError, match=r"Unable to bootstrap: .*wrong password"):
        connect(SaslAuthenticationFailedError("wrong password"), KafkaConnectionError("socket disconnected"))


def test_without_a_reason_the_error_stays_as_it_was() -> None:
    with pytest.raises(KafkaTimeoutError) as told:
        connect()
    assert told.value.args == ("Unable to bootstrap",)


def test_nobody_listens_afterwards() -> None:
    before = list(LOG.handlers)
    with reason_of_failure():
        assert len(LOG.handlers) == len(before) + 1
    assert LOG.handlers == before


@pytest.fixture
def quiet_log() -> Iterator[None]:
    before = LOG.level
    LOG.setLevel(logging.ERROR)
    yield
    LOG.setLevel(before)


@pytest.mark.usefixtures("quiet_log")
def test_of_two_that_connect_at_once_the_last_one_puts_the_log_back() -> None:
    with ExitStack() as last:
        with reason_of_failure():
            last.enter_context(reason_of_failure())
        assert LOG.isEnabledFor(logging.WARNING)
    assert (LOG.level, LOG.propagate) == (logging.ERROR, True)
