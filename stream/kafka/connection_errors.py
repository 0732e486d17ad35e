"""Finds the reason when Kafka is not reachable: a wrong password, an untrusted certificate, no broker.

Arrives: an attempt of kafka-python to connect. Leaves: its `KafkaTimeoutError` with the reason. The library writes the
reason only to its log; the error itself names only the address. Next: `stream.kafka.producer`, `stream.kafka.topics`.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from kafka.errors import KafkaError, KafkaTimeoutError

from graphstore.errors import reason

SOURCE = "kafka.net.manager"
TELLING = ("SASL", "Sasl", "SSL", "Authentication", "Authorization")


REFUSALS = ("SaslAuthenticationFailed", "Authentication failed", "CERTIFICATE")
"""What the reason of a refusal says that no wait ends: the setting of a password or a certificate is wrong."""


def is_refusal(error: KafkaError) -> bool:
    """Return whether the broker, or our check of its certificate, refused the connection."""
    return any(name in str(error) for name in REFUSALS)


@contextmanager
def reason_of_failure() -> Iterator[None]:
    """Add the reason of the last failure to a `KafkaTimeoutError` that is raised while a client connects.

    After a refused login a broker closes the next connections without a reason, so the refusal is kept.
    """
    listener, source = _Listener(), logging.getLogger(SOURCE)
    level, propagate = source.level, source.propagate
    if not source.isEnabledFor(logging.WARNING):  # a process that wants no such lines still needs the reason
        source.setLevel(logging.WARNING)
        source.propagate = False
    source.addHandler(listener)
    try:
        yield
    except KafkaTimeoutError as error:
        if listener.last is None:
            raise
        raise KafkaTimeoutError(f"{error.args[0]}: {reason(listener.last)}") from error
    finally:
        source.removeHandler(listener)
        source.setLevel(level)
        source.propagate = propagate


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last: Exception | None = None
        """The failure that counts."""

    def emit(self, record: logging.LogRecord) -> None:
        for value in record.args or ():
            if isinstance(value, Exception) and not isinstance(value, KafkaTimeoutError) and not self._told():
                self.last = value

    def _told(self) -> bool:
        return any(name in str(self.last) for name in TELLING)
