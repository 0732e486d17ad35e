"""The child that stays: its answers, its failures, its end, and that nothing stays behind."""

import subprocess
import sys
import threading

import msgspec
import psutil
import pytest

from monitoring.drift import child
from monitoring.drift.child import DriftChild, DriftJobFailed
from monitoring.drift.job import DriftAnswer, DriftJob
from monitoring.drift.references import comparison
from monitoring.drift.verdict import DriftResult
from monitoring.windows import TimeWindow

TIMEOUT_SECONDS = 60.0
RESULT = DriftResult("stable", "", TimeWindow(0, 5), TimeWindow(5, 9), 1, 1)
ANSWER = msgspec.json.encode(DriftAnswer(result=RESULT, memory_bytes=5 << 20)).decode()
JOB = DriftJob(
    database_url="sqlite://:secret@/x",
    reports_dir="x",
    comparison=comparison(10**12, 60, 7 * 86_400, trained_at=None),
    settings={},
)


@pytest.fixture
def pretend(monkeypatch, tmp_path):
    """Let a script stand for the interpreter that runs the child; each start adds a line to `starts`."""

    def install(script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/starts\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setattr(child.sys, "executable", str(path))

    return install


@pytest.fixture
def answering(pretend):
    pretend(f"while read line; do echo '{ANSWER}'; done")


def starts(tmp_path):
    return (tmp_path / "starts").read_text().splitlines()


def children():
    return psutil.Process().children(recursive=True)


def test_one_process_answers_job_after_job_and_ends_with_its_owner(answering, tmp_path):
    before = children()
    with DriftChild(timeout_seconds=TIMEOUT_SECONDS) as process:
        assert [process.run(JOB) for _ in range(3)] == [RESULT] * 3
        assert len(children()) == len(before) + 1
    assert children() == before
    assert starts(tmp_path) == ["-m monitoring.drift.job"]  # the password is not on the command line


def test_after_some_jobs_another_process_takes_over(answering, tmp_path):
    with DriftChild(timeout_seconds=TIMEOUT_SECONDS, jobs=2) as process:
        assert [process.run(JOB) for _ in range(5)] == [RESULT] * 5
    assert len(starts(tmp_path)) == 3


def test_a_process_that_died_in_between_is_started_again(answering, tmp_path):
    before = children()
    with DriftChild(timeout_seconds=TIMEOUT_SECONDS) as process:
        process.run(JOB)
        (there,) = set(children()) - set(before)
        there.kill()
        psutil.wait_procs([there], timeout=TIMEOUT_SECONDS)
        assert process.run(JOB) == RESULT
    assert len(starts(tmp_path)) == 2


def test_a_stop_gives_the_report_up_and_ends_the_process(pretend):
    pretend("exec sleep 60")
    before = children()
    stop = threading.Event()
    stop.set()
    assert DriftChild(timeout_seconds=TIMEOUT_SECONDS).run(JOB, stop=stop) is None
    assert children() == before


def test_a_process_that_hangs_is_ended(pretend):
    pretend("exec sleep 60")
    before = children()
    with pytest.raises(DriftJobFailed, match="no drift report after"):
        DriftChild(timeout_seconds=0.1).run(JOB)
    assert children() == before


@pytest.mark.parametrize(("script", "message"), [("exit 3", "ended with 3"), ("echo hello", "answered b'hello")])
def test_a_process_without_a_result_is_a_failure_and_the_next_job_starts_another(pretend, tmp_path, script, message):
    pretend(script)
    process = DriftChild(timeout_seconds=TIMEOUT_SECONDS)
    for _ in range(2):
        with pytest.raises(DriftJobFailed, match=message):
            process.run(JOB)
    assert len(starts(tmp_path)) == 2


def test_the_steady_process_stays_light():
    heavy = "import sys, monitoring.run; print(sorted({'evidently', 'pandas', 'plotly', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
