"""Lag watch: a thread of the worker that keeps the gauge of the lag.

Arrives: `stream.kafka.lag`, measured again and again. Leaves: the gauge, and a line in the log when broker and database
do not belong together. Next: Prometheus.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence

from kafka.errors import KafkaError
from prometheus_client import Gauge
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from graphstore.errors import reason
from stream.config import StreamConfig
from stream.kafka.lag import PartitionLag, measure

logger = logging.getLogger(__name__)

LAG = Gauge("sagestream_lag_messages", "Messages of the topic that are not in the graph yet", ["topic", "partition"])

INTERVAL_SECONDS = 10.0


class LagWatch:
    """A thread that updates the gauge until it is closed. `topics` are the topics of the worker.

    `told` gets why Kafka does not answer, and an empty text while it does.
    """

    def __init__(
        self,
        config: StreamConfig,
        engine: Engine,
        topics: Sequence[str],
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._told = told
        self._ask = (config, engine, topics)
        self._stop = threading.Event()
        self._logged = ""
        self._thread = threading.Thread(target=self._run, name="lag", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread. A running request ends by itself."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            try:
                self._show(measure(*self._ask, timeout_seconds=INTERVAL_SECONDS))
            except (KafkaError, OSError) as error:
                self._told(f"Kafka: {reason(error)}")
                logger.warning("lag unknown: %s", str(error).partition("\n")[0])
                continue
            except SQLAlchemyError as error:
                logger.warning("lag unknown: %s", str(error).partition("\n")[0])
            self._told("")

    def _show(self, lags: Iterable[PartitionLag]) -> None:
        remarks = []
        for lag in lags:
            LAG.labels(lag.topic, lag.partition).set(lag.behind)
            if lag.remark:
                remarks.append(f"{lag.topic}/{lag.partition}: {lag.remark}")
        text = "; ".join(remarks)
        if text and text != self._logged:
            logger.warning("%s", text)
        self._logged = text
