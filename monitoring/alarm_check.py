"""Alarm check: finds what is wrong at each pass, and starts and ends its alarms.

Arrives: the tables. Leaves: rows of `alarms`, a gauge for each alarm. Next: `monitoring.run` asks whether anything
seems to vanish; `monitoring.alarms.sender` delivers.
"""

from collections.abc import Mapping

from sqlalchemy import Engine

from graphstore.session import read, write
from monitoring import metrics
from monitoring.alarms.conditions import ALARMS, SAMPLE_RATIO, TRACKING_OUTAGE, conditions, sample_ratio
from monitoring.alarms.lasting import Found, lasting, settle
from monitoring.triggers.tracking_watch import TrackingWatch


class AlarmCheck:
    """One for each monitor: it remembers since when something seems to vanish."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tracking = TrackingWatch()

    @property
    def suspicious(self) -> bool:
        """Whether clicks, lists or events seem to vanish, or have vanished: nothing shall be asked now."""
        return self._tracking.suspected

    def check(self, *, now: int) -> None:
        """Look at tracking, models and runs. `now` is epoch ms. Raises the errors of the database."""
        with read(self._engine) as connection:
            found = {TRACKING_OUTAGE: self._tracking.look(connection, now=now)} | conditions(connection, now=now)
        self._settle(found, now=now)

    def check_experiments(self, faults: Mapping[str, float], *, now: int) -> None:
        """Take note of the experiments whose shoppers divide wrongly: their p-values by name."""
        self._settle({SAMPLE_RATIO: sample_ratio(faults)}, now=now)

    def _settle(self, found: Mapping[str, Found | None], *, now: int) -> None:
        with read(self._engine) as connection:
            known = lasting(connection).keys()
        changed = {name: trouble for name, trouble in found.items() if (trouble is None) == (name in known)}
        if changed:  # a pass without news writes nothing
            with write(self._engine) as connection:
                settle(connection, changed, now=now)
                known = lasting(connection).keys()
        metrics.show_alarms(ALARMS, lasting=known)
