"""What the processes that answer HTTP have in common. `tests.serving.web.test_server` runs it as a process."""

import os
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest

from graphstore.errors import PortTaken
from serving.http_server import METRICS_DIRECTORY, counted_together, listen, metrics_of


def test_a_port_that_is_taken_is_named_with_the_setting_that_moves_it() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 is taken: set A_SETTING to another"):
            listen("127.0.0.1", port, setting="A_SETTING")


def test_one_process_counts_by_itself() -> None:
    with counted_together(1) as directory:
        assert directory is None
    assert METRICS_DIRECTORY not in os.environ
    assert metrics_of(None)().splitlines()[0] == generate_latest(REGISTRY).splitlines()[0]


def test_several_processes_count_in_a_directory_that_ends_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(METRICS_DIRECTORY, "")  # taken back after the test
    with counted_together(2) as directory:
        assert directory is not None and os.environ[METRICS_DIRECTORY] == directory
        assert Path(directory).is_dir()
        assert metrics_of(directory)() == b""
    assert not Path(directory).exists()
