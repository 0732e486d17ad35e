"""The drift report as a child process: its answer, its files, its failures, and that nothing stays behind."""

import json
import subprocess
import sys
import threading
from dataclasses import asdict

import psutil
import pytest

from monitoring import drift_job
from monitoring.config import MonitoringConfig
from monitoring.drift_job import DriftJobFailed, plan_drift_job, run_drift_job

DAY_MS = 86_400_000
CONFIG = MonitoringConfig(drift_reference_seconds=86_400)
TIMEOUT_SECONDS = 120.0


def plan(shop, tmp_path, *, now, config=CONFIG):
    return plan_drift_job(shop.engine, config=config, reports_dir=tmp_path / "reports", now=now)


@pytest.mark.slow
def test_a_child_reads_tests_and_writes_the_report(shop, tmp_path):
    start = shop.now // DAY_MS * DAY_MS
    shop.trade(start, start + DAY_MS, 1500, seed=1)
    shop.trade(start + DAY_MS, start + 2 * DAY_MS, 700, seed=2, shifted=True)
    shop.click_through(40, 10, time=start + DAY_MS + DAY_MS // 2)
    result = run_drift_job(plan(shop, tmp_path, now=start + 2 * DAY_MS), timeout_seconds=TIMEOUT_SECONDS)
    assert result is not None
    assert result.verdict == "drift"
    html = (tmp_path / "reports").joinpath(result.report_html).read_text()
    assert "25.00%" in html
    assert 'src="http' not in html
    assert "#ed0400" in html  # the first of Evidently's colours
    report = json.loads((tmp_path / "reports").joinpath(result.report_json).read_text())
    assert report["metrics"][0]["value"]["share"] == result.share
    assert json.loads(json.dumps(asdict(result)))["skipped"] == {}


@pytest.mark.slow
def test_without_traffic_there_is_no_job_and_with_little_no_report(sqlite_shop, tmp_path):
    assert plan(sqlite_shop, tmp_path, now=sqlite_shop.now) is None
    sqlite_shop.act("view", "apple")
    result = run_drift_job(plan(sqlite_shop, tmp_path, now=sqlite_shop.now), timeout_seconds=TIMEOUT_SECONDS)
    assert (result.verdict, result.report_html, result.current_events) == ("insufficient", None, 1)
    assert not (tmp_path / "reports").exists()


def test_the_steady_process_stays_light():
    heavy = "import sys, monitoring.run; print(sorted({'evidently', 'pandas', 'plotly', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def job(sqlite_shop, tmp_path):
    sqlite_shop.act("view", "apple")
    return plan(sqlite_shop, tmp_path, now=sqlite_shop.now)


@pytest.fixture
def pretend(monkeypatch, tmp_path):
    """Let a script stand for the interpreter that runs the child."""

    def install(script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(drift_job.sys, "executable", str(path))

    return install


def children():
    return psutil.Process().children(recursive=True)


def test_a_stop_gives_the_report_up_and_ends_the_child(job, pretend):
    pretend("exec sleep 60")
    before = children()
    stop = threading.Event()
    stop.set()
    assert run_drift_job(job, timeout_seconds=TIMEOUT_SECONDS, stop=stop) is None
    assert children() == before


def test_a_child_that_hangs_is_ended(job, pretend):
    pretend("exec sleep 60")
    before = children()
    with pytest.raises(DriftJobFailed, match="no drift report after"):
        run_drift_job(job, timeout_seconds=0.1)
    assert children() == before


@pytest.mark.parametrize(("script", "message"), [("exit 3", "ended with 3"), ("echo hello", "answered b'hello")])
def test_a_child_without_a_result_is_a_failure(job, pretend, script, message):
    pretend(script)
    with pytest.raises(DriftJobFailed, match=message):
        run_drift_job(job, timeout_seconds=TIMEOUT_SECONDS)


def test_the_password_is_not_on_the_command_line(job, pretend, tmp_path):
    pretend(f'echo "$@" > {tmp_path}/arguments')
    with pytest.raises(DriftJobFailed):
        run_drift_job(job, timeout_seconds=TIMEOUT_SECONDS)
    assert (tmp_path / "arguments").read_text().split() == ["-m", "monitoring.drift_job"]
