"""Announcer: sends each new champion to the topic `models`, once.

Arrives: the registry. Leaves: an announcement after every change of the champion, by training or by rollback. Next:
`serving.publisher`.

It also announces the champion at every start, because the last announcement may be lost.
"""

import logging
from collections.abc import Callable

from kafka.errors import KafkaError
from sqlalchemy import Engine

from graphstore.session import read
from stream.config import StreamConfig
from stream.kafka.producer import DeliveryError, EventProducer
from training.lifecycle import registry

logger = logging.getLogger(__name__)

BOOTSTRAP_SECONDS = 2.0


class Announcer:
    """Announces the champion. Call it repeatedly, but not from two threads at the same time."""

    def __init__(self, engine: Engine, stream: StreamConfig, *, now: Callable[[], int]) -> None:
        self._engine = engine
        self._stream = stream
        self._now = now
        self._producer: EventProducer | None = None
        self._announced: str | None = None

    def announce(self) -> None:
        """Announce the champion unless it was announced last. After a Kafka error the next call tries again."""
        with read(self._engine) as connection:
            champion = registry.champion(connection)
        if champion is None or champion.model_version == self._announced:
            return
        try:
            if self._producer is None:
                self._producer = EventProducer(self._stream, bootstrap_seconds=BOOTSTRAP_SECONDS)
            registry.announce(self._producer, champion, now=self._now())
        except (KafkaError, DeliveryError) as error:
            logger.warning("champion %s is not announced yet: %s", champion.model_version, error)
            return
        logger.info("champion %s announced", champion.model_version)
        self._announced = champion.model_version

    def close(self) -> None:
        """Close the producer. A lost announcement is logged, and the next start repeats it."""
        if self._producer is None:
            return
        try:
            self._producer.close()
        except (KafkaError, DeliveryError) as error:
            logger.warning("the last announcement did not arrive: %s", error)
        self._producer = None
