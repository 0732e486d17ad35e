"""Where a running playground's services are: told in a file of its own, taken as defaults, never against a setting."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sagestream.playground import address_file
from sagestream.playground.services import Services

SETTINGS = {"redis_url": "redis://:secret@127.0.0.1:4711/0", "probe_port": "4712", "database_url": ""}


def test_only_the_owner_reads_it_and_it_goes_at_the_end(tmp_path: Path) -> None:
    address_file.write(tmp_path, SETTINGS)
    assert stat.S_IMODE((tmp_path / address_file.FILE).stat().st_mode) == 0o600
    found = address_file.read(tmp_path)
    assert found is not None
    assert (found.process_id, found.settings, found.alive) == (os.getpid(), SETTINGS, True)
    address_file.remove(tmp_path)
    address_file.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_its_services_are_the_defaults(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    assert address_file.adopt(tmp_path, environment) is None
    address_file.write(tmp_path, SETTINGS)
    said = address_file.adopt(tmp_path, environment)
    assert said == f"services of the playground in {tmp_path} (process {os.getpid()})"
    assert environment == {f"SAGESTREAM_{name.upper()}": value for name, value in SETTINGS.items()}
    assert address_file.adopt(tmp_path, environment) is None  # all is set: nothing was taken


def test_what_the_environment_says_stays_and_is_named(tmp_path: Path) -> None:
    address_file.write(tmp_path, SETTINGS)
    environment = {"SAGESTREAM_REDIS_URL": "redis://elsewhere/0", "SAGESTREAM_PROBE_PORT": "4712"}
    said = address_file.adopt(tmp_path, environment)
    assert said == (
        f"services of the playground in {tmp_path} (process {os.getpid()}); "
        "as set in the environment: SAGESTREAM_REDIS_URL"
    )
    assert environment["SAGESTREAM_REDIS_URL"] == "redis://elsewhere/0"
    assert environment["SAGESTREAM_DATABASE_URL"] == ""


def test_the_file_of_a_killed_playground_is_told_and_not_taken(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from sagestream.playground import address_file as a; "
    code += "a.write(Path(sys.argv[1]), {'probe_port': '1'})"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    process = json.loads((tmp_path / address_file.FILE).read_text())["process_id"]
    environment: dict[str, str] = {}
    said = address_file.adopt(tmp_path, environment)
    assert (said, environment) == (f"the playground in {tmp_path} (process {process}) no longer runs", {})


def test_a_later_process_of_the_same_number_is_another_one(tmp_path: Path) -> None:
    address_file.write(tmp_path, SETTINGS)
    told = json.loads((tmp_path / address_file.FILE).read_text())
    told["started"] -= 3600
    (tmp_path / address_file.FILE).write_text(json.dumps(told))
    found = address_file.read(tmp_path)
    assert found is not None
    assert not found.alive


@pytest.mark.parametrize("content", ["", "{", "[]", '{"process_id": "x"}'])
def test_a_file_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / address_file.FILE).write_text(content)
    assert address_file.adopt(tmp_path, {}) is None


def test_neither_keys_nor_the_tempo_are_addresses() -> None:
    settings = dict.fromkeys(["probe_port", "serve_port", "redis_url", "api_key", "state_dir", "drift_min_rows"], "1")
    services = Services(broker="tansu", said="", settings=settings, engine=None, redis=None)  # type: ignore[arg-type]
    assert services.addresses.keys() == {"probe_port", "serve_port", "redis_url"}
