"""The reason why Kafka cannot be reached: a wrong password, a certificate nobody trusts, nobody there.

Arrives: an attempt of kafka-python to connect. Leaves: its `KafkaTimeoutError`, with the reason that the library says
in its log alone; the error itself names nothing but the address. Next: `stream.kafka.producer`, `stream.kafka.topics`.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from kafka.errors import KafkaTimeoutError

SOURCE = "kafka.net.manager"
TELLING = ("SASL", "Sasl", "SSL", "Authentication", "Authorization")


@contextmanager
def reason_of_failure() -> Iterator[None]:
    """Around the making of a client: a `KafkaTimeoutError` tells the reason of the last failure, or of a refusal.

    After a refusal a broker closes the next connections without a word: the refusal is the reason that counts.
    """
    listener, source = _Listener(), logging.getLogger(SOURCE)
    source.addHandler(listener)
    try:
        yield
    except KafkaTimeoutError as error:
        if not listener.reason:
            raise
        raise KafkaTimeoutError(f"{error.args[0]}: {listener.reason}") from error
    finally:
        source.removeHandler(listener)


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        for value in record.args or ():
            if isinstance(value, Exception) and not isinstance(value, KafkaTimeoutError) and not self._told():
                self.reason = str(value)

    def _told(self) -> bool:
        return any(name in self.reason for name in TELLING)
