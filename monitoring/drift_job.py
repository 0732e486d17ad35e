"""Drift job: make the drift report in a child process, so that Evidently's memory is free again at its end.

Arrives: a `DriftJob` as JSON on the child's standard input. Leaves: a `DriftResult` as JSON on its standard output, and
the report's files. Next: `run` stores the figure.

The job is not on the command line, because the database URL may hold a password. Rejected: a process pool. With a
single child nothing is pickled, and it can be killed at any time. If the monitor dies, the child ends after its report.
"""

import contextlib
import dataclasses
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine

from graphstore.config import GraphstoreConfig
from graphstore.logs import set_up_logging
from graphstore.session import open_engine, read
from monitoring.config import MonitoringConfig
from monitoring.ctr import ctr
from monitoring.lazy_packages import import_lazily
from monitoring.traffic import drift_windows, read_traffic
from monitoring.verdict import DriftResult
from monitoring.windows import TimeWindow

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2
TIMEOUT_SECONDS = 300.0
"""The time limit of a report. After a timeout the next report runs when it is due."""

GATHERING_PACKAGES = (
    "evidently",
    "evidently.legacy.metrics",
    "evidently.legacy.tests",
    "evidently.legacy.ui.dashboards",
    "evidently.metrics",
    "evidently.presets",
)
"""The packages of Evidently that import everything: its web server, language models, other metrics."""


class DriftJobFailed(RuntimeError):
    """The child ended without a result, or took too long. Its log is on the monitor's standard error."""


class DriftJob(msgspec.Struct, frozen=True, kw_only=True):
    """The input of the child. The parent chooses the windows; `settings` are the values of a `MonitoringConfig`."""

    database_url: str
    reports_dir: str
    reference: TimeWindow
    current: TimeWindow
    settings: dict[str, Any]


def plan_drift_job(
    engine: Engine,
    *,
    config: MonitoringConfig,
    reports_dir: Path,
    now: int,
) -> DriftJob | None:
    """Return the job for the newest traffic at `now` (epoch ms), or None if there is no event yet."""
    with read(engine) as connection:
        windows = drift_windows(
            connection,
            now=now,
            window_seconds=config.drift_window_seconds,
            reference_seconds=config.drift_reference_seconds,
        )
    if windows is None:
        return None
    return DriftJob(
        database_url=engine.url.render_as_string(hide_password=False),
        reports_dir=str(reports_dir),
        reference=windows[0],
        current=windows[1],
        settings=config.model_dump(mode="json"),
    )


def run_drift_job(
    job: DriftJob, *, timeout_seconds: float = TIMEOUT_SECONDS, stop: threading.Event | None = None
) -> DriftResult | None:
    """Run the child and wait for its result; return None if `stop` is set before the child ends.

    Raises `DriftJobFailed` if the child ends without a result or reaches the timeout. No child outlives the call.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "monitoring.drift_job"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "DO_NOT_TRACK": "1"},
    ) as child:
        deadline = time.monotonic() + timeout_seconds
        sent: bytes | None = msgspec.json.encode(job)
        try:
            while True:
                try:
                    output, _ = child.communicate(sent, timeout=POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    sent = None  # communicate keeps the input of its first call
                if stop is not None and stop.is_set():
                    return None
                if time.monotonic() > deadline:
                    raise DriftJobFailed(f"no drift report after {timeout_seconds:g} s")
        finally:
            if child.poll() is None:
                child.kill()
    if child.returncode != 0:
        raise DriftJobFailed(f"the drift report's process ended with {child.returncode}")
    try:
        return msgspec.json.decode(output, type=DriftResult)
    except msgspec.MsgspecError as error:
        raise DriftJobFailed(f"the drift report's process answered {output[:200]!r}: {error}") from error


def work(job: DriftJob) -> DriftResult:
    """Do the work of the child: read the two windows, test them, write the report."""
    # Only the child pays for these imports: seconds and about 200 MB. A complete import of Evidently costs half more.
    import_lazily(GATHERING_PACKAGES)
    from monitoring.drift import measure_drift
    from monitoring.reports import write_report

    config = MonitoringConfig(**job.settings)
    engine = open_engine(job.database_url)
    try:
        with read(engine) as connection:
            reference, current = read_traffic(connection, job.reference, job.current)
            rates = [ctr(connection, start=w.start, end=w.end) for w in (job.reference, job.current)]
    finally:
        engine.dispose()
    result, snapshot = measure_drift(
        reference,
        current,
        psi=config.drift_psi,
        share=config.drift_share,
        rates=(rates[0], rates[1]),
    )
    if snapshot is None:
        return result
    html, json_file = write_report(snapshot, Path(job.reports_dir), job.current)
    return dataclasses.replace(result, report_html=str(html), report_json=str(json_file))


def main() -> None:
    """Read a job from standard input, write its result to standard output. Other output goes to standard error."""
    set_up_logging(form=GraphstoreConfig().log_format, process="monitor")
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=DriftJob)
    with contextlib.redirect_stdout(sys.stderr):
        result = work(job)
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
