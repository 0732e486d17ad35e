"""The monitor's loop: what a pass leaves behind, what it survives, and how it stops."""

import json
import threading
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import func, select

from graphstore.session import open_engine, read, write
from graphstore.tables import metric_windows, retrain_requests
from graphstore.upserts import ImpressionRow, insert_impressions
from monitoring import run
from monitoring.config import MonitoringConfig
from monitoring.drift.child import DriftJobFailed
from monitoring.drift.verdict import DriftResult
from monitoring.run import Monitor, run_monitor
from monitoring.windows import TimeWindow, read_figures
from sagestream.playground.embedded import free_port
from serving.experiments import Experiment, start, stop
from serving.routing import Arm

HOUR_MS = 3_600_000
BOUND_SECONDS = 180.0
DRIFT = DriftResult("drift", "3 of 7 columns", TimeWindow(0, 5), TimeWindow(5, 9), 900, 900, share=0.43)


def config(**settings):
    return MonitoringConfig(monitor_interval_seconds=0.02, **settings)


@pytest.fixture
def verdicts(monkeypatch):
    """What the drift report says, in turn (the last for ever), instead of a child process; counts the reports."""
    said = [replace(DRIFT, verdict="stable")]
    asked = []

    def report(_child, job, *, stop):
        asked.append(job)
        word = said[min(len(asked), len(said)) - 1]
        if isinstance(word, Exception):
            raise word
        return word

    monkeypatch.setattr(run.DriftChild, "run", report)
    return said, asked


def counted(name, **labels):
    return REGISTRY.get_sample_value(f"sagestream_{name}", labels) or 0.0


class Running:
    """A monitor in a thread, until the block ends."""

    def __init__(self, engine, settings, tmp_path, now, port=0):
        self.stop = threading.Event()
        self.error = None
        self._arguments = (engine, settings, tmp_path, now, port)
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        engine, settings, tmp_path, now, port = self._arguments
        try:
            monitor = Monitor(engine, config=settings, state_dir=tmp_path)
            run_monitor(monitor, stop=self.stop, probe_port=port, clock=lambda: now)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self.error = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self._thread.join(BOUND_SECONDS)
        assert not self._thread.is_alive()

    def until(self, true):
        waiter = threading.Event()
        for _ in range(int(BOUND_SECONDS / 0.02)):
            if true() or not self._thread.is_alive():
                break
            waiter.wait(0.02)
        assert true(), f"the monitor did not get there: {self.error}"


def test_a_pass_measures_reports_and_asks(shop, verdicts, tmp_path):
    said, _ = verdicts
    said[:] = [DRIFT]
    hour = shop.now // HOUR_MS * HOUR_MS
    shop.serve("r1", ["apple", "pear"], time=hour)
    shop.act("click", "pear", "r1", time=hour)
    monitor = Monitor(shop.engine, config=config(), state_dir=tmp_path)
    figures = monitor.count(now=hour + 1)
    assert {f.segment: f.value for f in figures if f.value is not None}["all"] == 0.5
    result = monitor.report_drift(now=hour + 1)
    assert result == DRIFT
    assert monitor.ask(result, now=hour + 1)
    assert not monitor.ask(result, now=hour + 1)
    with read(shop.engine) as connection:
        assert read_figures(connection, "drift")[0].value == 0.43
        assert connection.scalars(select(retrain_requests.c.reason)).all() == ["drift: 3 of 7 columns"]


def test_without_traffic_nothing_is_reported(sqlite_shop, verdicts, tmp_path):
    monitor = Monitor(sqlite_shop.engine, config=config(), state_dir=tmp_path)
    assert monitor.report_drift(now=sqlite_shop.now) is None
    assert not monitor.ask(None, now=sqlite_shop.now)
    assert verdicts[1] == []


def test_the_loop_passes_again_and_again_and_reports_drift_at_its_own_interval(sqlite_shop, verdicts, tmp_path):
    sqlite_shop.act("view", "apple")
    before = counted("monitor_passes_total", outcome="done")
    with Running(sqlite_shop.engine, config(), tmp_path, sqlite_shop.now) as running:
        running.until(lambda: counted("monitor_passes_total", outcome="done") >= before + 3)
    assert running.error is None
    assert len(verdicts[1]) == 1
    with read(sqlite_shop.engine) as connection:
        assert connection.scalar(select(func.count()).select_from(metric_windows)) == 1


def test_a_failed_report_is_counted_and_the_loop_goes_on(sqlite_shop, verdicts, tmp_path):
    said, asked = verdicts
    said[:] = [DriftJobFailed("killed"), DRIFT]
    sqlite_shop.act("view", "apple")
    failed = counted("drift_reports_total", outcome="failed")
    settings = config(drift_interval_seconds=0.01)
    with Running(sqlite_shop.engine, settings, tmp_path, sqlite_shop.now) as running:
        running.until(lambda: len(asked) >= 2)
        running.until(lambda: counted("retrain_requests_total") > 0)
    assert counted("drift_reports_total", outcome="failed") == failed + 1


def test_a_database_that_is_away_is_told_and_met_again(sqlite_shop, verdicts, tmp_path):
    port = free_port()
    empty = open_engine(f"sqlite:///{tmp_path / 'empty.db'}")  # no tables: every statement fails
    failed = counted("monitor_passes_total", outcome="failed")
    with Running(empty, config(), tmp_path, sqlite_shop.now, port) as running:
        running.until(lambda: counted("monitor_passes_total", outcome="failed") >= failed + 2)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=BOUND_SECONDS)
        assert refused.value.code == 503
        assert "no such table" in json.load(refused.value)["database"]
        refused.value.close()
    assert running.error is None
    empty.dispose()


def test_the_probe_says_ready_and_shows_the_figures(sqlite_shop, verdicts, tmp_path):
    port = free_port()
    before = counted("monitor_passes_total", outcome="done")
    with Running(sqlite_shop.engine, config(), tmp_path, sqlite_shop.now, port) as running:
        running.until(lambda: counted("monitor_passes_total", outcome="done") > before)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=BOUND_SECONDS) as answer:
            assert json.load(answer) == {"database": "ok"}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=BOUND_SECONDS) as answer:
            assert b"sagestream_monitor_last_pass_timestamp_seconds" in answer.read()


def test_an_error_that_waiting_cannot_mend_ends_the_monitor(sqlite_shop, verdicts, tmp_path):
    said, _ = verdicts
    said[:] = [ValueError("a defect")]
    sqlite_shop.act("view", "apple")
    with Running(sqlite_shop.engine, config(), tmp_path, sqlite_shop.now) as running:
        running.until(lambda: running.error is not None)
    assert "a defect" in str(running.error)


def test_an_experiment_whose_shoppers_divide_wrongly_is_told(sqlite_shop, tmp_path, caplog):
    arms = (Arm("plain", 0.5), Arm("wide", 0.4))
    monitor = Monitor(sqlite_shop.engine, config=config(), state_dir=tmp_path)
    with write(sqlite_shop.engine) as connection:
        for name in ("sound", "broken"):
            start(connection, Experiment(name, None, "s", arms, "me", "", 5))
    for variant, shoppers in (("sound/plain", 50), ("sound/wide", 40), ("broken/plain", 300), ("broken/wide", 90)):
        rows = [
            ImpressionRow(f"{variant}-{n}", 0, f"{variant}-{n}", "apple", "home", 10, "m1", variant, 1.0, 1.0, "batch")
            for n in range(shoppers)
        ]
        with write(sqlite_shop.engine) as connection:
            insert_impressions(connection, rows)
    with caplog.at_level("WARNING"):
        found = monitor.check_experiments(now=20)
    assert [(one.name, one.sample_ratio_fault) for one in found] == [("broken", True), ("sound", False)]
    assert [record.args[0] for record in caplog.records if record.name == "monitoring.run"] == ["broken"]
    assert counted("experiment_sample_ratio_p", experiment="broken") == found[0].sample_ratio_p < 0.01
    with write(sqlite_shop.engine) as connection:
        stop(connection, "broken", now=30, outcome={})
    monitor.check_experiments(now=40)
    assert counted("experiment_sample_ratio_p", experiment="broken") == 0
    assert counted("experiment_sample_ratio_p", experiment="sound") == 1.0
