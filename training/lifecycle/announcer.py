"""The announcer: tells the topic `models` who the champion is, once for each.

Arrives: the registry. Leaves: an announcement after every change, however it came about (a training, a rollback by
hand), and one at the start, because the last may have been lost. Next: `serving.publisher`.
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
    """Called again and again; not from two threads at once."""

    def __init__(self, engine: Engine, stream: StreamConfig, *, now: Callable[[], int]) -> None:
        self._engine = engine
        self._stream = stream
        self._now = now
        self._producer: EventProducer | None = None
        self._announced: str | None = None

    def look(self) -> None:
        """Announce the champion unless it was the last announced; where Kafka fails, the next look tries again."""
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
        """Let go of the producer; an announcement that did not arrive is logged: the next start repeats it."""
        if self._producer is None:
            return
        try:
            self._producer.close()
        except (KafkaError, DeliveryError) as error:
            logger.warning("the last announcement did not arrive: %s", error)
        self._producer = None
