"""The drift report as a child process, so that Evidently's memory goes back when it ends.

Arrives: a `DriftJob` as JSON on the child's standard input (a database URL holds a password: not on the command line).
Leaves: a `DriftResult` as JSON on its standard output, and the report's files. Next: `run` stores the figure.

A process of its own and not a pool: nothing is pickled, it can be ended at any time, and if the monitor dies it ends
by itself after one harmless report.
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
"""After this a report is given up; the next one is tried when it is due."""

GATHERING_PACKAGES = (
    "evidently",
    "evidently.legacy.metrics",
    "evidently.legacy.tests",
    "evidently.legacy.ui.dashboards",
    "evidently.metrics",
    "evidently.presets",
)
"""Those of Evidently's packages that import everything there is: its web server, language models, other metrics."""


class DriftJobFailed(RuntimeError):
    """The child ended without a result, or took too long; its log went to the monitor's standard error."""


class DriftJob(msgspec.Struct, frozen=True, kw_only=True):
    """What the child needs to know; the windows are chosen by the parent, `settings` is a `MonitoringConfig`."""

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
    """The job on the newest traffic at `now` (epoch ms); None where nothing has happened yet."""
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
    """Run the child and wait for it; None where `stop` was set before it had ended.

    Raises `DriftJobFailed` where it ends without a result or is not done after the time; no child outlives the call.
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
                    sent = None  # communicate goes on with what it was given first
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
    """The child's part: read the two windows, test them, write the report."""
    # Only the child pays for these: seconds and some 200 MB; half as much again if Evidently were imported whole.
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
    """A job on standard input, its result on standard output; all else that is printed goes to standard error."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=DriftJob)
    with contextlib.redirect_stdout(sys.stderr):
        result = work(job)
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
