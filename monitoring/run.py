"""Monitor: measure clicks and drift in regular passes, and request a retrain when it is necessary.

Arrives: the rows that the worker stored. Leaves: `attributions`, `metric_windows`, drift reports, `retrain_requests`,
the state of a probation and perhaps a rollback, gauges. Next: `training.lifecycle.scheduler` trains; the dashboard
shows the figures.

One monitor is enough. A second one repeats the same work and changes nothing, because every write is idempotent and a
retrain request respects the cooldown.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from graphstore.errors import reason
from graphstore.outages import service_of
from graphstore.session import now_ms, read, write
from monitoring import metrics
from monitoring.alarm_check import AlarmCheck
from monitoring.alarms.database_away import DatabaseAway
from monitoring.alarms.sender import AlarmSender
from monitoring.alarms.webhook import Webhook
from monitoring.attribution import attribute, count_dirty_shoppers
from monitoring.config import MonitoringConfig
from monitoring.dashboard.show import Dashboard
from monitoring.dirty_windows import Recounting, count_dirty_windows, newest_hours, recount_dirty
from monitoring.drift.child import TIMEOUT_SECONDS, DriftChild, DriftJobFailed
from monitoring.drift.job import plan_drift_job
from monitoring.drift.verdict import DriftResult
from monitoring.experiments import Report, report
from monitoring.probation import Look, watch
from monitoring.triggers.ask import request
from monitoring.triggers.fall import FallJudge
from monitoring.triggers.hold import held
from monitoring.triggers.lasting_drift import drift_reason
from monitoring.windows import Figure, write_figures
from serving.experiments import running
from stream.config import LOOPBACK
from stream.liveness import Liveness, Watchdog
from stream.probe import OK, start_probe

logger = logging.getLogger(__name__)

COUNT_SECONDS = 5.0
"""Time of a pass for each of attribution, hours and days. What is left waits for the next pass."""

LOOK_PAUSE = 20
"""A look at a probation is followed by a pause of this many times its duration, so looks take 5 % of the time."""


class Monitor:
    """The steps of a pass; each also works alone. Reports are written below `state_dir`.

    The metrics have a series for each of the `slots` that there are now, and one for all others together.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        config: MonitoringConfig,
        state_dir: Path,
        redis: Redis | None = None,
        dashboard: Dashboard | None = None,
        timer: Callable[[], float] = time.monotonic,
        slots: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self.engine = engine
        self.config = config
        self._reports_dir = state_dir / "reports"
        self._redis = redis
        self._dashboard = dashboard
        self._experiment_reports: list[Report] = []
        self._timer = timer
        self._slots = slots
        self._probation_due = float("-inf")
        self._fall = FallJudge()
        self._alarms = AlarmCheck(engine)
        self._attributed_until = ""
        self._recounting = Recounting()
        self._drift_child = DriftChild()

    def count(self, *, now: int) -> list[Figure]:
        """Attribute what has changed and count its windows again, for a bounded time; return the newest hours' figures.

        No transaction that writes lasts longer than it takes to store some rows.
        """
        done = attribute(
            self.engine,
            windows=self.config.credit_windows,
            budget_seconds=COUNT_SECONDS,
            after=self._attributed_until,
            timer=self._timer,
        )
        self._attributed_until = done.after
        recount_dirty(self.engine, now=now, memory=self._recounting, budget_seconds=COUNT_SECONDS, timer=self._timer)
        with read(self.engine) as connection:
            figures = newest_hours(connection, now=now)
            metrics.DIRTY_SHOPPERS.set(count_dirty_shoppers(connection))
            metrics.DIRTY_WINDOWS.set(count_dirty_windows(connection))
        metrics.ATTRIBUTED.inc(done.changed)
        metrics.show_ctr(figures, slots=self._slots())
        return figures

    def check_alarms(self, *, now: int) -> None:
        """Start and end the alarms of the shop's tracking, of models and of runs. Comes before what they hold still."""
        self._alarms.check(now=now)

    def watch_probation(self, *, now: int) -> Look | None:
        """Follow the probation of a new champion; return the look. Return None without one, or before a look is due.

        A look counts all impressions since the promotion, so the time between two looks grows with the time of a look.
        """
        began = self._timer()
        if began < self._probation_due:
            return None
        found = watch(self.engine, self._redis, now=now)
        ended = self._timer()
        self._probation_due = ended + (ended - began) * LOOK_PAUSE
        return found

    def check_experiments(self, *, now: int) -> list[Report]:
        """Warn of running experiments whose shoppers do not divide as the shares say; return all their reports."""
        with read(self.engine) as connection:
            reports = [report(connection, experiment, now=now) for experiment in running(connection)]
        self._experiment_reports = reports
        metrics.show_experiments({found.name: found.sample_ratio_p for found in reports})
        for found in reports:
            if found.sample_ratio_fault:
                logger.warning(
                    "experiment %s: its shoppers do not divide as the shares say, p = %.2g",
                    found.name,
                    found.sample_ratio_p,
                )
        faults = {found.name: found.sample_ratio_p for found in reports if found.sample_ratio_fault}
        self._alarms.check_experiments(faults, now=now)
        return reports

    def start_sender(self, clock: Callable[[], int]) -> AlarmSender | None:
        """Start to deliver alarms to the webhook, if there is one. The caller closes the sender."""
        url, secret = self.config.alarm_webhook, self.config.alarm_secret
        if url is None or secret is None:
            return None
        sender = AlarmSender(self.engine, Webhook(url.get_secret_value(), secret.get_secret_value()), clock=clock)
        sender.start()
        return sender

    def report_drift(self, *, now: int, stop: threading.Event | None = None) -> DriftResult | None:
        """Compare the newest traffic with the traffic before it, in a child process.

        Returns None if there is no traffic yet or `stop` is set. Raises `DriftJobFailed`.
        """
        job = plan_drift_job(self.engine, config=self.config, reports_dir=self._reports_dir, now=now)
        if job is None:
            return None
        result = self._drift_child.run(job, stop=stop)
        if result is not None:
            with write(self.engine) as connection:
                write_figures(connection, [result.figure()])
            metrics.show_drift(result)
            logger.info("drift: %s, %s", result.verdict, result.reason)
        return result

    def close(self) -> None:
        """End the process that makes drift reports."""
        self._drift_child.close()

    def show(self, *, now: int) -> list[str]:
        """Write the dashboard's pages that are due; return their names. Redis that is away is no error."""
        if self._dashboard is None:
            return []
        return self._dashboard.show(self._experiment_reports, now=now)

    def ask(self, drift: DriftResult | None, *, now: int) -> bool:
        """Request a retrain if the drift or the click-through rate is a reason; return whether it was requested.

        While the shop's tracking is broken, or seems to be, nothing is asked.
        """
        cooldown = self.config.retrain_cooldown_seconds
        with read(self.engine) as connection:
            if self._alarms.suspicious or held(connection):
                return False
            found = (drift_reason(connection, drift), self._fall.reason(connection, now=now))
        reasons = [why for why in found if why]
        if not reasons:
            return False
        with write(self.engine) as connection:
            asked = request(connection, reasons, now=now, cooldown_seconds=cooldown)
        metrics.RETRAIN_REQUESTS.inc(asked)
        return asked


def run_monitor(
    monitor: Monitor,
    *,
    stop: threading.Event,
    probe_port: int,
    probe_host: str = LOOPBACK,
    clock: Callable[[], int] = now_ms,
) -> None:
    """Measure until `stop` is set, then return at once: a running drift report is abandoned.

    If the database is unreachable, the error is logged and counted, and the next pass tries again. A failed drift
    report is logged and counted too; the next report runs when it is due. Any other error ends the monitor.
    `probe_host` and `probe_port` (0: any free port) show its health; `clock` returns epoch ms.
    """
    config = monitor.config
    state = {"database": "not yet measured"}
    liveness = Liveness()
    watchdog = Watchdog(liveness)
    probe = start_probe(probe_port, lambda: dict(state), host=probe_host, alive=lambda: liveness.state)
    logger.info(
        "monitor: a pass every %g s, a drift report every %g s, health and metrics on port %d",
        config.monitor_interval_seconds,
        config.drift_interval_seconds,
        probe.port,
    )
    sender = monitor.start_sender(clock)
    try:
        _measure_until(stop, monitor, clock, state, liveness, DatabaseAway(sender))
    finally:
        if sender is not None:
            sender.close()
        monitor.close()
        watchdog.close()
        probe.close()
    logger.info("monitor: stopped")


def _measure_until(
    stop: threading.Event,
    monitor: Monitor,
    clock: Callable[[], int],
    state: dict[str, str],
    liveness: Liveness,
    away: DatabaseAway,
) -> None:
    config, drift_due = monitor.config, 0.0
    while not stop.is_set():
        # A pass, with a drift report perhaps, and the pause after it.
        liveness.beat("measuring", within_seconds=config.monitor_interval_seconds + 2 * TIMEOUT_SECONDS)
        began, now = time.monotonic(), clock()
        drift: DriftResult | None = None
        try:
            monitor.count(now=now)
            monitor.check_alarms(now=now)
            monitor.watch_probation(now=now)
            if began >= drift_due:
                drift_due = began + config.drift_interval_seconds
                monitor.check_experiments(now=now)
                drift = _drift(monitor, now, stop)
            monitor.ask(drift, now=now)
            away.back(monitor.engine, now=now)
            monitor.show(now=now)
        except (DBAPIError, OSError) as error:
            if service_of(error) is None:
                raise
            state["database"] = reason(error)
            metrics.PASSES.labels("failed").inc()
            logger.warning("the pass failed and is tried again: %s", state["database"])
            away.failed(state["database"], now=now)
        else:
            state["database"] = OK
            metrics.PASSES.labels("done").inc()
            metrics.LAST_PASS.set(now / 1000)
            metrics.PASS_SECONDS.set(time.monotonic() - began)
        stop.wait(config.monitor_interval_seconds)


def _drift(monitor: Monitor, now: int, stop: threading.Event) -> DriftResult | None:
    try:
        return monitor.report_drift(now=now, stop=stop)
    except DriftJobFailed as error:
        metrics.DRIFT_REPORTS.labels("failed").inc()
        logger.error("no drift report: %s", error)
        return None
