"""How errors reach whoever typed a command: one line for what a user can mend, the traceback of a fault of ours."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from graphstore.session import migrate, open_engine, read, write
from sagestream import cli
from sagestream.error_messages import NO_GRAPH, message
from sagestream.playground.embedded import LOOPBACK, free_port
from tests.databases import migrated_sqlite
from tests.sagestream.verbs.commands import environment, sagestream

CLASS_NAME = re.compile(r"\b\w*(Error|Exception|Refused|Missing|Unknown\w+)\b(?! \()")


def refusal(done: "subprocess.CompletedProcess[str]") -> str:
    """The one line that a refusal is."""
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    said = line.removeprefix("sagestream: ")
    assert said != line
    assert not CLASS_NAME.search(said), said
    return said


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """A state directory that does not exist yet; neither Kafka nor Redis."""
    away = f"{LOOPBACK}:{free_port()}"
    return {
        "STATE_DIR": str(tmp_path / "state"),
        "KAFKA_BOOTSTRAP_SERVERS": away,
        "REDIS_URL": f"redis://:secret@{away}/0",
    }


@pytest.fixture
def graph(settings: dict[str, str]) -> str:
    """The URL of an empty graph in the state directory."""
    return migrated_sqlite(Path(settings["STATE_DIR"]) / "graph.db")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("{}['x']", "KeyError: 'x'"),
        ("[][0]", "IndexError: list index out of range"),
        ("import graphstore.no_such_room", "ModuleNotFoundError: No module named 'graphstore.no_such_room'"),
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("open('/nowhere/of/ours')", "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/of/ours'"),
        ("raise LookupError('no such thing')", "LookupError: no such thing"),
    ],
)
def test_a_fault_of_ours_keeps_its_traceback_and_asks_for_a_report(
    fault: str, said: str, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        exec(fault)

    monkeypatch.setattr("sagestream.doctor.examine", broken)
    done = sagestream("doctor", settings=settings)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert any(line.endswith("in broken") for line in lines)
    assert lines[-2:] == [said, cli.FAULT]


def child(program: str, *words: str, settings: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """`sagestream` as a process of its own, with a program before it that puts something in its way."""
    line = [sys.executable, "-c", f"{program}; from sagestream.cli import main; main()", *words]
    return subprocess.run(line, capture_output=True, text=True, env=os.environ | environment(settings), check=False)


@pytest.mark.slow
def test_a_process_says_the_same(settings: dict[str, str]) -> None:
    fault = child("import sagestream.doctor as doctor; doctor.examine = lambda: {}['x']", "doctor", settings=settings)
    assert (fault.returncode, fault.stdout) == (1, "")
    assert fault.stderr.startswith("Traceback (most recent call last):")
    assert fault.stderr.splitlines()[-2:] == ["KeyError: 'x'", cli.FAULT]
    # The libraries that a verb does not need are not there at all.
    without = "import sys; sys.modules['torch'] = None"
    told = refusal(child(without, "train", settings=settings))
    assert told == 'torch is not installed: pip install ".[training]"'


def test_services_that_are_away_are_named_with_their_setting(settings: dict[str, str]) -> None:
    away = settings["KAFKA_BOOTSTRAP_SERVERS"]
    redis = f"no Redis at {away} (Connection refused): start it, or set SAGESTREAM_REDIS_URL"
    assert refusal(sagestream("recommend", "u", settings=settings)) == redis
    kafka = refusal(sagestream("dlq", "list", settings=settings))
    assert kafka.startswith(f"no Kafka at {away} (")
    assert kafka.endswith("ECONNREFUSED): start it, or set SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS")
    postgresql = {**settings, "DATABASE_URL": f"postgresql://shop:secret@{away}/shop"}
    database = refusal(sagestream("history", settings=postgresql))
    assert database.startswith(f"no database at postgresql+psycopg://shop:***@{away}/shop (connection failed: ")
    assert database.endswith("start it, or set SAGESTREAM_DATABASE_URL")


@pytest.mark.parametrize(
    ("words", "changes", "said"),
    [
        (("history",), {"DATABASE_URL": "nonsense"}, "SAGESTREAM_DATABASE_URL: this is no URL of a database, as "),
        (
            ("history",),
            {"DATABASE_URL": "postgresql://u:secret@host:x/db"},
            "SAGESTREAM_DATABASE_URL: the port is no number",
        ),
        (("history",), {"DATABASE_URL": "mysql://host/db"}, "SAGESTREAM_DATABASE_URL: mysql is not supported"),
        (("doctor",), {"DATABASE_URL": "postgresql://u:se/cret@h/db"}, "SAGESTREAM_DATABASE_URL: more than a host"),
        (("doctor",), {"REDIS_URL": "redis://:secret@h:x/0"}, "SAGESTREAM_REDIS_URL: the port is no number"),
        (("init",), {"KAFKA_BOOTSTRAP_SERVERS": "u:secret@h:1"}, "SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS: host and port"),
        (("replay", "--from-database", "postgresql://u:secret@h:x/db"), {}, "the port is no number"),
        (("recommend", "u"), {"REDIS_URL": "redis://h/0?socket_timeout=secret"}, "an option in the URL of Redis"),
        (("serve",), {"API_KEY_FILE": "/nowhere/key"}, "SAGESTREAM_API_KEY_FILE: /nowhere/key: No such file"),
        (("recommend", "u"), {"REDIS_URL": "nonsense"}, "SAGESTREAM_REDIS_URL: this is no URL of a Redis, as "),
        (
            ("dlq", "list"),
            {"KAFKA_BOOTSTRAP_SERVERS": "host:x"},
            "SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS: a port is a number",
        ),
        (
            ("dlq", "list"),
            {"KAFKA_SSL_CAFILE": "/nowhere.pem"},
            "SAGESTREAM_KAFKA_SSL_CAFILE: there is no file",
        ),
        (("history",), {"SNAPSHOTS_KEPT": "many"}, "SAGESTREAM_SNAPSHOTS_KEPT: Input should be a valid integer"),
        (("train",), {"GATE_MIN_USERS": "0"}, "SAGESTREAM_GATE_MIN_USERS: Input should be greater than or equal to 1"),
        (("train",), {"TRAINING_CONFIG": "nowhere.json"}, "nowhere.json: No such file or directory"),
        (("monitor",), {"DRIFT_QUIET_DAYS": "x"}, "SAGESTREAM_DRIFT_QUIET_DAYS: "),
        (("dlq", "list"), {"PROBE_PORT": "1.5"}, "SAGESTREAM_PROBE_PORT: "),
        (("produce", "nowhere.jsonl"), {}, "nowhere.jsonl: No such file or directory"),
        (("produce", "/"), {}, "/: Is a directory"),
        (("train", "--config", "/"), {}, "/: Is a directory"),
        (("visualize", "--json-results", "nowhere.json"), {}, "nowhere.json: No such file or directory"),
        (("graph", "report"), {}, "no snapshot in "),
        (("history",), {}, "there is no database at "),
        (("report",), {}, "there is no database at "),
        (("models", "list"), {}, "there is no database at "),
    ],
)
def test_wrong_settings_and_files_are_one_line(
    words: tuple[str, ...], changes: dict[str, str], said: str, settings: dict[str, str]
) -> None:
    told = refusal(sagestream(*words, settings={**settings, **changes}))
    assert told.startswith(said)
    assert "secret" not in told
    assert words[0] in ("init", "monitor") or not Path(settings["STATE_DIR"]).exists()  # a look creates nothing


def test_a_state_directory_that_is_none(settings: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no database, and longer than the header of one" * 3)
    inside = refusal(sagestream("history", settings={**settings, "STATE_DIR": str(file / "state")}))
    assert inside == f"{file / 'state' / 'graph.db'}: Not a directory"
    itself = refusal(sagestream("history", settings={**settings, "DATABASE_URL": f"sqlite:///{file}"}))
    assert itself.startswith(f"the database sqlite:///{file} cannot be used (file is not a database): ")
    assert refusal(sagestream("playground", "--state-dir", str(file), settings=settings)) == f"{file}: File exists"


def test_what_nobody_knows_is_named(settings: dict[str, str], graph: str) -> None:
    unknown = "no model m0 in the registry: `sagestream models list` names all"
    assert refusal(sagestream("recommend", "u", "--model", "m0", settings=settings)) == unknown
    assert refusal(sagestream("models", "promote", "m0", settings=settings)) == unknown
    assert refusal(sagestream("models", "rollback", settings=settings)).startswith("there is no champion: ")


def test_a_database_that_another_process_holds(
    settings: dict[str, str], graph: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphstore.session.BUSY_TIMEOUT_SECONDS", 0.2)
    engine = open_engine(graph)
    with write(engine):
        told = refusal(sagestream("models", "rollback", settings=settings))
    engine.dispose()
    assert told == f"the database {graph} was locked by another process for 0.2 s: let that one end, and run this again"


def test_tables_of_an_older_version(empty_url: str, settings: dict[str, str]) -> None:
    reach = {**settings, "DATABASE_URL": empty_url}
    assert refusal(sagestream("forget", "u", settings=reach)) == NO_GRAPH
    migrate(empty_url, "0001")
    told = refusal(sagestream("forget", "u", settings=reach))
    assert re.search(r"holds tables of version 0001, not \d{4}: `sagestream init`$", told)


def test_a_statement_that_is_wrong_is_a_fault(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGESTREAM_DATABASE_URL", database_url)
    engine = open_engine(database_url)
    for wrong in ("SELEKT", "SELECT no_such_column FROM users", "SELECT 1 FROM no_such_table"):
        with pytest.raises(DBAPIError) as failed, read(engine) as connection:
            connection.execute(text(wrong))
        assert message(failed.value) is None, wrong
        (note,) = failed.value.__notes__
        assert note.removeprefix("database: ").startswith(make_url(database_url).get_backend_name())
    engine.dispose()


def test_a_missing_part_names_its_extra(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert refusal(sagestream("tune", settings=settings)) == 'optuna is not installed: pip install ".[tune]"'


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from pydantic import SecretStr, ValidationError

    from serving.config import ServingConfig

    with pytest.raises(ValidationError) as wrong:
        ServingConfig.model_validate({"api_key": 5, "serve_port": 0})
    told = message(wrong.value) or ""
    assert told.startswith("SAGESTREAM_SERVE_PORT: ")
    assert "not '0'" in told
    assert "SAGESTREAM_API_KEY: Input should be a valid string" in told
    assert "not '5'" not in told
    assert ServingConfig.model_validate({"api_key": "k"}).api_key == SecretStr("k")
