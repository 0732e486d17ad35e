"""Sender: delivers every start and every end of an alarm to the webhook, in a thread of its own.

Arrives: rows of `alarms` that were not delivered since they changed. Leaves: POSTs, and `delivered_at`. Next: the
operator's receiver.

What must be delivered and how often it was tried stands in the table, so a restart loses nothing. A pass of the monitor
never waits for a receiver. A delivery is tried at most as often as `PAUSES_SECONDS` says, and is given up after that.
An attempt is counted before it is made, so a crash in the middle cannot repeat it for ever. An alarm that ends before
its start was delivered is delivered once, with both times.

Without the database there is no table. That alarm alone is kept in memory until the database is back.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import Engine, select, update
from sqlalchemy.exc import DBAPIError

from graphstore.errors import reason
from graphstore.outages import service_of
from graphstore.session import now_ms, read, write
from graphstore.tables import alarms
from monitoring import metrics
from monitoring.alarms.lasting import Alarm, alarm_of
from monitoring.alarms.webhook import TOTAL_SECONDS, NotDelivered, Webhook

logger = logging.getLogger(__name__)

PAUSES_SECONDS = (0, 30, 120, 600, 1_800, 7_200, 21_600, 43_200)
"""The pause before each attempt, after the one before it: eight attempts in a day. The pauses count from the change of
the alarm, as the table knows no time of an attempt."""
LOOK_SECONDS = 5.0
"""How often the table is read."""


def due(found: Sequence[Alarm], *, now: int) -> list[Alarm]:
    """Return the alarms whose next attempt is due at `now` (epoch ms), the oldest change first."""
    ready = []
    for alarm in found:
        if alarm.attempts < len(PAUSES_SECONDS):
            after = sum(PAUSES_SECONDS[: alarm.attempts + 1]) * 1000
            # What was not delivered a day after its change, because nobody sent, is no news any more.
            late = now - alarm.changed_at > 2 * sum(PAUSES_SECONDS) * 1000
            if now >= alarm.changed_at + after and not late:
                ready.append(alarm)
    return sorted(ready, key=lambda alarm: (alarm.changed_at, alarm.alarm_key))


class AlarmSender:
    """A thread that delivers until it is closed. `clock` returns epoch ms."""

    def __init__(
        self, engine: Engine, webhook: Webhook, *, clock: Callable[[], int] = now_ms, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._engine, self._webhook, self._clock, self._look_seconds = engine, webhook, clock, look_seconds
        self._unstored: Alarm | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def close(self) -> None:
        """Stop. A delivery that is under way may end; the rest is delivered after the next start."""
        self._stop.set()
        self._thread.join(TOTAL_SECONDS)

    def say_unstored(self, alarm: Alarm | None) -> None:
        """Deliver an alarm that cannot be stored, as long as it lasts; None: it is over."""
        if alarm is None or self._unstored is None:
            self._unstored = alarm

    def deliver_due(self) -> int:
        """Make each attempt that is due. Return the number of deliveries. Raises the errors of the database."""
        delivered = 0
        if self._unstored is not None and due([self._unstored], now=self._clock()):
            alarm = self._unstored
            self._unstored = replace(alarm, attempts=alarm.attempts + 1)
            if self._deliver(alarm):
                self._unstored = replace(alarm, attempts=len(PAUSES_SECONDS))
                delivered += 1
        with read(self._engine) as connection:
            waiting = select(alarms).where(alarms.c.delivered_at.is_(None), alarms.c.attempts < len(PAUSES_SECONDS))
            found = [alarm_of(row) for row in connection.execute(waiting)]
        for alarm in due(found, now=self._clock()):
            if self._stop.is_set():
                break
            if self._mark(alarm, attempts=alarm.attempts + 1) and self._deliver(alarm):
                self._mark(alarm, delivered_at=self._clock())
                delivered += 1
        return delivered

    def _deliver(self, alarm: Alarm) -> bool:
        try:
            self._webhook.deliver(alarm, now=self._clock())
        except NotDelivered as error:
            last = alarm.attempts + 1 >= len(PAUSES_SECONDS)
            metrics.ALARM_DELIVERIES.labels("given_up" if last else "failed").inc()
            fate = "it is given up" if last else "it is tried again"
            logger.warning("the alarm %s was not delivered, %s: %s", alarm.name, fate, error)
            return False
        metrics.ALARM_DELIVERIES.labels("delivered").inc()
        return True

    def _mark(self, alarm: Alarm, **values: int) -> bool:
        """Change the row, unless the alarm has ended since it was read: then its end is to be delivered."""
        same = (alarms.c.alarm_key == alarm.alarm_key) & alarms.c.ended_at.is_not_distinct_from(alarm.ended_at)
        with write(self._engine) as connection:
            return connection.execute(update(alarms).where(same).values(**values)).rowcount == 1

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.deliver_due()
            except (DBAPIError, OSError) as error:
                if service_of(error) is None:
                    raise
                # The passes of the monitor tell of it; here it only means to wait.
                logger.debug("alarms wait for the database: %s", reason(error))
            self._stop.wait(self._look_seconds)
