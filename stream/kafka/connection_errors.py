"""Finds the reason when Kafka is not reachable: a wrong password, an untrusted certificate, no broker.

Arrives: an attempt of kafka-python to connect. Leaves: its `KafkaTimeoutError` with the reason. The library writes the
reason only to its log; the error itself names only the address. Next: `stream.kafka.producer`, `stream.kafka.topics`.
"""

import logging
import threading
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
    listener = _Listener()
    with _LISTENED.by(listener):
        try:
            yield
        except KafkaTimeoutError as error:
            if listener.last is None:
                raise
            raise KafkaTimeoutError(f"{error.args[0]}: {reason(listener.last)}") from error


class _ListenedLog:
    """A log that has listeners for a while, also where its lines are not wanted.

    Several threads may connect at once. What the first one changes, the last one puts back.
    """

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(name)
        self._lock = threading.Lock()
        self._listeners = 0
        self._before = (logging.NOTSET, True)

    @contextmanager
    def by(self, listener: logging.Handler) -> Iterator[None]:
        """Let the listener hear all warnings."""
        with self._lock:
            self._listeners += 1
            if self._listeners == 1:
                self._before = self._log.level, self._log.propagate
                if not self._log.isEnabledFor(logging.WARNING):
                    self._log.setLevel(logging.WARNING)
                    self._log.propagate = False
            self._log.addHandler(listener)
        try:
            yield
        finally:
            with self._lock:
                self._log.removeHandler(listener)
                self._listeners -= 1
                if not self._listeners:
                    level, self._log.propagate = self._before
                    self._log.setLevel(level)


_LISTENED = _ListenedLog(SOURCE)


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
