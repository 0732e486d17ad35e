"""Errands: runs what an operator asked for on the dashboard.

Arrives: the list of `graphstore.redis.errands`. Leaves: a forgotten shopper, an export, dead letters that were sent
again, a request for a retrain; and the state of each errand. Next: the dashboard shows the state.

A thread of its own runs one errand at a time, because to forget a shopper rewrites snapshots and takes seconds: a pass
of the monitor must not wait for it. An errand is taken off the list after it has ended. While SQL or Redis is away it
waits, and its state says so; any other error ends it, and its state says why. An errand during which the monitor died
`MAX_ATTEMPTS` times fails, so that it cannot kill the monitor for ever.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from kafka.errors import KafkaError
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError

from graphstore.errors import UserError, reason
from graphstore.outages import service_of
from graphstore.person_export import export_person
from graphstore.redis import errands
from graphstore.redis.errands import DONE, FAILED, MAX_RESULT_BYTES, RUNNING, WAITING, Errand, NotAsked
from graphstore.session import write
from graphstore.tables import retrain_requests
from monitoring import metrics
from monitoring.dashboard.dead_letters import DeadLetterCounts, chosen_by
from serving.forget import forget
from stream.config import StreamConfig
from stream.dlq.queue import Filter, Queue
from stream.events import MAX_ID_LENGTH, utc
from stream.kafka.producer import EventProducer
from training.lifecycle.registry import request_retrain

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""The pause between two looks at the list."""

AWAY_SECONDS = 15.0
"""The pause while Redis or another service is away."""

MAX_ATTEMPTS = 3

Answer = tuple[str, bytes | None]
"""What became of an errand in words, and its result."""


class Refused(UserError):
    """The errand cannot be done. The message says why."""


class _Stopped(Exception):
    """The monitor stops in the middle of an errand, which may go on after the next start."""


class ErrandRunner:
    """Runs errands one after another. `clock` returns epoch ms; `snapshots_dir` is the directory of the snapshots."""

    def __init__(
        self,
        engine: Engine,
        redis: Redis,
        stream: StreamConfig,
        snapshots_dir: Path,
        counts: DeadLetterCounts,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._engine, self._redis, self._stream = engine, redis, stream
        self._snapshots_dir, self._counts, self._clock = snapshots_dir, counts, clock
        self._stop = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._run, name="errands", daemon=True)

    def start(self) -> None:
        """Begin to look at the list."""
        self._thread.start()

    def close(self, *, timeout_seconds: float = 5.0) -> None:
        """Stop after the errand in hand; one that takes longer runs again after the next start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def run_one(self) -> bool:
        """Run the oldest errand. Return False when there is none. Raises `redis.RedisError`.

        A service that is away is raised as its own error after the state says so; the errand stays on the list.
        """
        raw = errands.first(self._redis)
        if raw is None:
            return False
        try:
            errand = errands.decode(raw)
        except NotAsked as error:
            logger.error("an errand in Redis cannot be read and is dropped: %s", error)
            errands.take_off(self._redis, raw)
            return True
        known = errands.state(self._redis, errand.id)
        interrupted = known is not None and known.state == RUNNING
        attempts = known.attempts if known is not None and interrupted else 0
        if attempts >= MAX_ATTEMPTS:
            self._end(raw, errand, FAILED, f"the monitor ended {attempts} times while it ran: see its log")
            return True
        errands.tell(self._redis, errand, RUNNING, now=self._clock(), attempts=attempts + 1)
        self._do(raw, errand)
        return True

    def _do(self, raw: bytes, errand: Errand) -> None:
        try:
            said, result = self._carry_out(errand)
        except (DBAPIError, RedisError, OSError) as error:
            if service_of(error) is None:
                self._fail(raw, errand, error)
                return
            errands.tell(self._redis, errand, WAITING, f"waits: {reason(error)}", now=self._clock())
            raise
        except _Stopped:
            errands.tell(self._redis, errand, WAITING, "the monitor was stopped: the rest follows", now=self._clock())
        except KafkaError as error:  # it must not hold up a shopper who is to be forgotten
            self._end(raw, errand, FAILED, f"Kafka: {reason(error)}: ask again when it answers")
        except (UserError, NotAsked) as error:
            self._end(raw, errand, FAILED, str(error))
        except Exception as error:  # noqa: BLE001 - a fault in one errand must not end the thread of all others
            self._fail(raw, errand, error)
        else:
            self._end(raw, errand, DONE, said, result)

    def _fail(self, raw: bytes, errand: Errand, error: Exception) -> None:
        logger.error("errand %s (%s) failed", errand.id, errand.kind, exc_info=error)
        self._end(raw, errand, FAILED, f"{type(error).__name__}: {reason(error)}")

    def _end(self, raw: bytes, errand: Errand, word: errands.Word, said: str, result: bytes | None = None) -> None:
        errands.tell(self._redis, errand, word, said, now=self._clock(), result=result)
        errands.take_off(self._redis, raw)
        metrics.ERRANDS.labels(errand.kind, word).inc()
        logger.info("errand %s (%s) by %s: %s", errand.id, errand.kind, errand.who, word)

    def _carry_out(self, errand: Errand) -> Answer:
        if errand.kind == "forget":
            return self._forget(errand)
        if errand.kind == "export":
            return self._export(errand)
        if errand.kind == "dlq_replay":
            return self._replay(errand)
        return self._retrain(errand)

    def _forget(self, errand: Errand) -> Answer:
        done = forget(
            self._engine, self._redis, self._stream, self._snapshots_dir, _user(errand.subject), now=self._clock
        )
        errands.drop_of(self._redis, {*done.ids, errand.subject})
        removed = sum(done.receipt.get("sql", {}).values())
        kafka = done.receipt.get("kafka", {})
        told = "" if kafka.get("reached") else "; Kafka was not reached: forget again when it is back"
        return f"forgotten: {len(done.ids)} ids, {removed:,} rows; a tombstone drops what still arrives{told}", None

    def _export(self, errand: Errand) -> Answer:
        found = export_person(self._engine, _user(errand.subject), max_bytes=MAX_RESULT_BYTES)
        if not found.known:
            raise Refused("no row names this shopper")
        said = f"{found.rows:,} rows, {len(found.content):,} bytes"
        if found.left_out:
            left = ", ".join(f"{count:,} of {name}" for name, count in found.left_out.items())
            said = f"NOT COMPLETE: {said}; left out, because the export is too large: {left}"
        return said, found.content

    def _replay(self, errand: Errand) -> Answer:
        from stream.dlq.replay import Verdict, replay  # needs the extra `stream`, which a monitor alone may lack

        topic, kind = chosen_by(errand.subject)
        now = self._clock()
        self._counts.step(self._stream, now=now)
        with Queue(self._stream) as queue, EventProducer(self._stream) as producer:
            chosen = Filter(topic=topic or None, kind=kind or None)
            done = replay(queue, producer, now=utc(now), chosen=chosen, all_letters=False, stop=self._stop.is_set)
        if self._stop.is_set():
            raise _Stopped
        if topic:
            self._counts.handled(topic, kind, now=now)
        else:
            self._counts.step(self._stream, now=now)
        said = ", ".join(f"{done.verdicts[verdict]:,} {verdict.value}" for verdict in Verdict if done.verdicts[verdict])
        most = "; ".join(f"{count:,} {why}" for (_, why), count in done.reasons.most_common(3))
        return (said or "no letter waits") + (f" ({most})" if most else ""), None

    def _retrain(self, errand: Errand) -> Answer:
        why, who = errand.subject or "asked for on the dashboard", errand.who
        table = retrain_requests.c
        known = (table.requested_by == who) & (table.requested_at == errand.asked_at)
        with write(self._engine) as connection:
            if not connection.scalar(select(func.count()).where(known)):
                request_retrain(connection, reason=why, requested_by=who, now=errand.asked_at)
        return "requested: the page of models shows what becomes of it", None

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                busy = self.run_one()
            except (DBAPIError, RedisError, OSError) as error:
                if not self._away:
                    logger.warning("errands wait: %s", reason(error))
                self._away = True
                self._stop.wait(AWAY_SECONDS)
                continue
            self._away = False
            if not busy:
                self._stop.wait(LOOK_SECONDS)


def _user(subject: str) -> str:
    if not 1 <= len(subject) <= MAX_ID_LENGTH:
        raise Refused(f"an id has 1 to {MAX_ID_LENGTH} characters")
    return subject
