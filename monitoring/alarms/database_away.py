"""Database away: the one alarm that cannot be stored while it lasts.

Arrives: passes that failed because SQL is not reachable, and the first one that did not. Leaves: an alarm to log, gauge
and webhook; and its row, with start and end, once the database is back. Next: `monitoring.alarms.sender`.
"""

import logging

from sqlalchemy import Engine

from graphstore.session import write
from monitoring import metrics
from monitoring.alarms.conditions import DATABASE_AWAY
from monitoring.alarms.lasting import Alarm, Found, settle
from monitoring.alarms.sender import AlarmSender

logger = logging.getLogger(__name__)

PATIENCE_MS = 120_000
"""A restart of the database takes less."""


class DatabaseAway:
    """Follows the passes of the monitor. `sender` may be None."""

    def __init__(self, sender: AlarmSender | None) -> None:
        self._sender = sender
        self._since: int | None = None
        self._found: Found | None = None

    def failed(self, why: str, *, now: int) -> None:
        """Take note of a pass that failed at `now` (epoch ms). `why` is told once, when the patience is over."""
        self._since = now if self._since is None else self._since
        if self._found is not None or now - self._since < PATIENCE_MS:
            return
        self._found = Found(f"the monitor cannot reach its database: {why}")
        metrics.ALARM.labels(DATABASE_AWAY).set(1)
        logger.error("alarm %s: %s", DATABASE_AWAY, self._found.text)
        if self._sender is not None:
            self._sender.say_unstored(Alarm(0, DATABASE_AWAY, self._since, None, self._found.text))

    def back(self, engine: Engine, *, now: int) -> None:
        """Take note of a pass that was done at `now`. Raises the errors of the database."""
        if self._found is not None and self._since is not None:
            with write(engine) as connection:
                settle(connection, {DATABASE_AWAY: self._found}, now=self._since)
                settle(connection, {DATABASE_AWAY: None}, now=now)
            if self._sender is not None:
                self._sender.say_unstored(None)
            metrics.ALARM.labels(DATABASE_AWAY).set(0)
        self._since = self._found = None
