"""Drift job: makes drift reports in a child process, one after the other.

Arrives: `DriftJob`s, a line of JSON each, on standard input. Leaves: for each a line with a `DriftAnswer` on standard
output. Next: `child` reads it in the monitor's process.

The import of Evidently costs seconds of processor time. So the process stays, and ends when its input ends: with the
monitor, whatever ended that. The job is not on the command line, because the database URL may hold a password.
"""

import contextlib
import sys
from pathlib import Path
from typing import Any

import msgspec
import psutil
from sqlalchemy import Engine

from graphstore.config import LogConfig
from graphstore.logs import set_up_logging
from graphstore.session import open_engine, read
from monitoring.config import MonitoringConfig
from monitoring.drift.lazy_packages import import_lazily
from monitoring.drift.references import Comparison, plan_comparison
from monitoring.drift.verdict import DriftResult

GATHERING_PACKAGES = (
    "evidently",
    "evidently.legacy.metrics",
    "evidently.legacy.tests",
    "evidently.legacy.ui.dashboards",
    "evidently.metrics",
    "evidently.presets",
)
"""The packages of Evidently that import everything: language models, other metrics."""


class DriftJob(msgspec.Struct, frozen=True, kw_only=True):
    """The input of the child. The parent chooses the windows; `settings` are the values of a `MonitoringConfig`."""

    database_url: str
    reports_dir: str
    comparison: Comparison
    settings: dict[str, Any]


class DriftAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The output of the child. `memory_bytes` is what the process holds after the report."""

    result: DriftResult
    memory_bytes: int


def plan_drift_job(engine: Engine, *, config: MonitoringConfig, reports_dir: Path, now: int) -> DriftJob | None:
    """Return the job for the newest traffic at `now` (epoch ms), or None if there is no event yet."""
    with read(engine) as connection:
        comparison = plan_comparison(
            connection,
            now=now,
            window_seconds=config.drift_window_seconds,
            reference_seconds=config.drift_reference_seconds,
        )
    if comparison is None:
        return None
    return DriftJob(
        database_url=engine.url.render_as_string(hide_password=False),
        reports_dir=str(reports_dir),
        comparison=comparison,
        settings=config.model_dump(mode="json"),
    )


class Worker:
    """The child's side: what stays from one job to the next."""

    def __init__(self) -> None:
        # Only the child pays for these imports. A complete import of Evidently costs half more.
        import_lazily(GATHERING_PACKAGES)
        from monitoring.drift.assessment import assess
        from monitoring.drift.item_map import ChampionMap

        self._assess = assess
        self._champion = ChampionMap()

    def work(self, job: DriftJob) -> DriftResult:
        """Make one report."""
        config = MonitoringConfig(**job.settings)
        engine = open_engine(job.database_url)
        try:
            with read(engine) as connection:
                return self._assess(
                    connection,
                    job.comparison,
                    quiet_days=config.drift_quiet_days,
                    interval_seconds=config.drift_interval_seconds,
                    reports_dir=Path(job.reports_dir),
                    champion=self._champion,
                )
        finally:
            engine.dispose()


def main() -> None:
    """Answer jobs until the input ends. Other output goes to standard error. An error ends the process."""
    set_up_logging(form=LogConfig().log_format, process="monitor")
    answers = sys.stdout.buffer
    with contextlib.redirect_stdout(sys.stderr):
        worker = Worker()
        for line in sys.stdin.buffer:
            result = worker.work(msgspec.json.decode(line, type=DriftJob))
            memory = psutil.Process().memory_info().rss
            answers.write(msgspec.json.encode(DriftAnswer(result=result, memory_bytes=memory)) + b"\n")
            answers.flush()


if __name__ == "__main__":
    main()
