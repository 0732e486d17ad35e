"""Verbs started in the directory of a running playground find its services; when it has ended, they say so."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagestream.playground import address_file
from sagestream.playground.embedded import accepts, free_port
from tests.test_loop import shop, small_training

READY_SECONDS = 240.0


def environment(**settings: str) -> dict[str, str]:
    """Without Kafka, and without any setting but these."""
    kept = {name: value for name, value in os.environ.items() if name != "KAFKA_HOME"}
    return {**kept, "COLUMNS": "80", **settings}


@pytest.fixture
def playground(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A playground in the directory, its shop open."""
    shop(tmp_path / "shop.csv")
    words = ["--dataset", "shop.csv", "--sample", "0", "--min-item-users", "1", "--port", str(free_port())]
    started = subprocess.Popen(
        [sys.executable, "-m", "sagestream", "playground", *words],
        cwd=tmp_path,
        env=environment(**small_training(tmp_path / "training.json")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert started.stdout is not None
    said = []
    deadline = time.monotonic() + READY_SECONDS
    for line in started.stdout:
        said.append(line)
        assert time.monotonic() < deadline, "".join(said)
        if "shop: http" in line:
            break
    else:
        raise AssertionError("".join(said))
    yield started
    if started.poll() is None:
        started.kill()
        started.communicate()


@pytest.mark.slow
@pytest.mark.service
@pytest.mark.timeout(600)
def test_every_verb_finds_what_runs_there(playground: "subprocess.Popen[str]", tmp_path: Path) -> None:
    def verb(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sagestream", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment(**settings), capture_output=True, text=True, check=False
        )

    beside = f"services of the playground in .sagestream (process {playground.pid})\n"
    for words, shown in (
        (("doctor",), "kafka interactions"),
        (("recommend", "u1"), "list of"),
        (("similar", "a1"), "similar to a1"),
        (("explain", "u1", "a1"), "a1: "),
        (("report",), "impressions"),
        (("dlq", "list"), "letters"),
        (("history",), "closed_form"),
        (("models", "list"), "champion"),
    ):
        done = verb(*words)
        assert (done.returncode, done.stderr) == (0, beside), (words, done.stdout, done.stderr)
        assert shown in done.stdout, (words, done.stdout)
    assert json.loads(verb("dlq", "list", "--json").stdout)["letters"] >= 0

    elsewhere = f"redis://127.0.0.1:{free_port()}/0"
    apart = verb("recommend", "u1", SAGESTREAM_REDIS_URL=elsewhere)
    assert apart.returncode == 1
    assert apart.stderr.splitlines()[0] == f"{beside.strip()}; as set in the environment: SAGESTREAM_REDIS_URL"
    assert re.search(r"no Redis at 127\.0\.0\.1:\d+ \(Connection refused\)", apart.stderr)
    assert verb("recommend", "--help").stderr == ""
    worker = verb("worker")  # one of its own runs already
    assert worker.returncode == 1
    assert re.search(r"sagestream: port \d+ on 127\.0\.0\.1 is taken", worker.stderr)

    playground.send_signal(signal.SIGINT)
    playground.communicate(timeout=120)
    assert playground.returncode == 0
    assert not (tmp_path / ".sagestream" / address_file.FILE).exists()
    after = verb("recommend", "u1")
    assert "services of the playground" not in after.stderr
    if not accepts(6379):
        assert after.returncode == 1
        assert after.stderr.startswith("sagestream: no Redis at 127.0.0.1:6379 (Connection refused)")
