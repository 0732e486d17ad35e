"""Surroundings: what SQL does not know: the processes, Kafka's lag, dead letters.

Arrives: the probes of `SAGESTREAM_DOCTOR_HOSTS`, or of this machine, Kafka's offsets, the dead letter queue. Leaves:
`Surroundings`. Next: the pages `overview` and `operations`.

A thread of its own looks, because a service that is away keeps whoever asks it waiting for seconds: a pass of the
monitor takes what was found last, and the page says of when it is.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from kafka.errors import KafkaError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from graphstore.errors import UserError, reason
from monitoring.dashboard.dead_letters import DeadLetterCounts, DeadLetters
from stream.config import PROBED_PROCESSES, StreamConfig
from stream.kafka.lag import PartitionLag, measure
from stream.readiness import Readiness, ask_process
from stream.routes import ROUTES

logger = logging.getLogger(__name__)

LOOK_SECONDS = 30.0
"""The pause between two looks."""

PROBE_SECONDS = 3.0
KAFKA_SECONDS = 3.0
"""How long an answer may take."""

TOPICS = tuple(dict.fromkeys(route.topic for route in ROUTES.values()))


@dataclass(frozen=True)
class Surroundings:
    """What the last look found. `looked_at` is epoch ms; None: there was no look yet."""

    looked_at: int | None = None
    processes: tuple[Readiness, ...] = ()
    lags: tuple[PartitionLag, ...] = ()
    kafka_problem: str = ""
    """Why Kafka told no lag."""
    dead_letters: DeadLetters = field(default_factory=DeadLetters)
    dead_letter_problem: str = ""


class SurroundingsWatch:
    """A thread that looks until it is closed."""

    def __init__(
        self,
        stream: StreamConfig,
        engine: Engine,
        counts: DeadLetterCounts,
        *,
        clock: Callable[[], int],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.found = Surroundings()
        self._stream, self._engine, self._counts = stream, engine, counts
        self._clock, self._look_seconds = clock, look_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="surroundings", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking. A look that runs ends by itself."""
        self._stop.set()

    def look(self) -> Surroundings:
        """Look once. What is away is a finding, not an error."""
        now = self._clock()
        processes = self._processes()
        found = replace(self.found, looked_at=now, processes=processes)
        try:
            lags = measure(self._stream, self._engine, TOPICS, timeout_seconds=KAFKA_SECONDS)
            found = replace(found, lags=tuple(lags), kafka_problem="")
        except (KafkaError, OSError, UserError, SQLAlchemyError) as error:
            found = replace(found, lags=(), kafka_problem=reason(error))
        try:
            letters = self._counts.step(self._stream, now=now)
            found = replace(found, dead_letters=letters, dead_letter_problem="")
        except (KafkaError, OSError, UserError) as error:
            found = replace(found, dead_letter_problem=reason(error))
        self.found = found
        return found

    def _processes(self) -> tuple[Readiness, ...]:
        ports = {name: self._stream.probe_port_of(name) for name in PROBED_PROCESSES}
        addresses = self._stream.probe_addresses(ports)
        with ThreadPoolExecutor(max_workers=len(addresses)) as pool:
            return tuple(pool.map(lambda address: ask_process(*address, timeout_seconds=PROBE_SECONDS), addresses))

    def _run(self) -> None:
        while True:
            before = self.found
            found = self.look()
            for problem, known in (
                (found.kafka_problem, before.kafka_problem),
                (found.dead_letter_problem, before.dead_letter_problem),
            ):
                if problem and problem != known:
                    logger.warning("the dashboard knows nothing of Kafka: %s", problem)
            if self._stop.wait(self._look_seconds):
                return
