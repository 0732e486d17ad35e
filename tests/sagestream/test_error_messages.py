"""How errors reach whoever typed a command: one line for what a user can mend, the traceback of a fault of ours."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from graphstore.session import migrate, open_engine, read, write
from sagestream import cli
from sagestream.error_messages import CONFIGS, NO_GRAPH, message
from sagestream.playground.embedded import LOOPBACK, free_port

MAIN = "from sagestream.cli import main; main()"
CLASS_NAME = re.compile(r"\b\w*(Error|Exception|Refused|Missing|Unknown\w+)\b(?! \()")


def command(
    *words: str, settings: Mapping[str, str], program: str = MAIN, directory: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`sagestream` as one types it; `program` may put something in its way first."""
    environment = {**os.environ, **{f"SAGESTREAM_{name}": value for name, value in settings.items()}, "COLUMNS": "80"}
    line = [sys.executable, "-c", program, *words]
    return subprocess.run(line, capture_output=True, text=True, env=environment, check=False, cwd=directory)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
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
    url = f"sqlite:///{Path(settings['STATE_DIR']) / 'graph.db'}"
    migrate(url)
    return url


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
    fault: str, said: str, settings: dict[str, str]
) -> None:
    program = (
        f'from sagestream import cli\n@cli.app.command()\ndef broken() -> None:\n    "B."\n    {fault}\ncli.main()'
    )
    done = command("broken", settings=settings, program=program)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert any(line.endswith("in broken") for line in lines)
    assert lines[-2:] == [said, cli.FAULT]


def test_services_that_are_away_are_named_with_their_setting(settings: dict[str, str]) -> None:
    away = settings["KAFKA_BOOTSTRAP_SERVERS"]
    redis = f"no Redis at {away} (Connection refused): start it, or set SAGESTREAM_REDIS_URL"
    assert refusal(command("recommend", "u", settings=settings)) == redis
    kafka = refusal(command("dlq", "list", settings=settings))
    assert kafka.startswith(f"no Kafka at {away} (")
    assert kafka.endswith("ECONNREFUSED): start it, or set SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS")
    postgresql = {**settings, "DATABASE_URL": f"postgresql://shop:secret@{away}/shop"}
    database = refusal(command("history", settings=postgresql))
    assert database.startswith(f"no database at postgresql+psycopg://shop:***@{away}/shop (connection failed: ")
    assert database.endswith("start it, or set SAGESTREAM_DATABASE_URL")


@pytest.mark.parametrize(
    ("words", "changes", "said"),
    [
        (("history",), {"DATABASE_URL": "nonsense"}, "'nonsense' is no URL of a database"),
        (("history",), {"DATABASE_URL": "postgresql://u:secret@host:x/db"}, "'postgresql://u:***@host:x/db' is no URL"),
        (("history",), {"DATABASE_URL": "mysql://host/db"}, "mysql is not supported: SQLite or PostgreSQL"),
        (("recommend", "u"), {"REDIS_URL": "nonsense"}, "'nonsense' is no URL of a Redis"),
        (
            ("dlq", "list"),
            {"KAFKA_BOOTSTRAP_SERVERS": "host:x"},
            "SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS: 'host:x' is no address",
        ),
        (
            ("dlq", "list"),
            {"KAFKA_SSL_CAFILE": "/nowhere.pem"},
            "SAGESTREAM_KAFKA_SSL_CAFILE: there is no file",
        ),
        (("history",), {"RECENT_ITEMS": "many"}, "SAGESTREAM_RECENT_ITEMS: Input should be a valid integer"),
        (("train",), {"SAGE": "{bad"}, "SAGESTREAM_SAGE is no JSON: "),
        (("train",), {"SAGE__DIM": "0"}, "SAGESTREAM_SAGE__DIM: Input should be greater than or equal to 1, not '0'"),
        (("produce", "nowhere.jsonl"), {}, "nowhere.jsonl: No such file or directory"),
        (("produce", "/"), {}, "/: Is a directory"),
        (("train", "--config", "/"), {}, "/: Is a directory"),
        (("visualize", "--json-results", "nowhere.json"), {}, "nowhere.json: No such file or directory"),
        (("graph", "report"), {}, "no snapshot in "),
        (("history",), {}, NO_GRAPH),
    ],
)
def test_wrong_settings_and_files_are_one_line(
    words: tuple[str, ...], changes: dict[str, str], said: str, settings: dict[str, str]
) -> None:
    told = refusal(command(*words, settings={**settings, **changes}))
    assert told.startswith(said)
    assert "secret" not in told


def test_a_state_directory_that_is_none(settings: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no database, and longer than the header of one" * 3)
    inside = refusal(command("history", settings={**settings, "STATE_DIR": str(file / "state")}))
    assert inside == f"{file / 'state'}: Not a directory"
    itself = refusal(command("history", settings={**settings, "DATABASE_URL": f"sqlite:///{file}"}))
    assert itself.startswith(f"the database sqlite:///{file} cannot be used (file is not a database): ")
    assert refusal(command("playground", "--state-dir", str(file), settings=settings)) == f"{file}: File exists"


def test_what_nobody_knows_is_named(settings: dict[str, str], graph: str) -> None:
    unknown = "no model m0 in the registry: `sagestream models list` names all"
    assert refusal(command("recommend", "u", "--model", "m0", settings=settings)) == unknown
    assert refusal(command("models", "promote", "m0", settings=settings)) == unknown
    assert refusal(command("models", "rollback", settings=settings)).startswith("there is no champion: ")


def test_a_database_that_another_process_holds(settings: dict[str, str], graph: str) -> None:
    impatient = f"import graphstore.session as session; session.BUSY_TIMEOUT_SECONDS = 0.2; {MAIN}"
    engine = open_engine(graph)
    with write(engine):
        told = refusal(command("models", "rollback", settings=settings, program=impatient))
    engine.dispose()
    assert told == f"the database {graph} was locked by another process for 0.2 s: let that one end, and run this again"


def test_tables_of_an_older_version(empty_url: str, settings: dict[str, str]) -> None:
    reach = {**settings, "DATABASE_URL": empty_url}
    assert refusal(command("forget", "u", settings=reach)) == NO_GRAPH
    migrate(empty_url, "0001")
    told = refusal(command("forget", "u", settings=reach))
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


@pytest.mark.parametrize(
    ("words", "module", "extra"), [(("train",), "torch", "training"), (("tune",), "optuna", "tune")]
)
def test_a_missing_part_names_its_extra(
    words: tuple[str, ...], module: str, extra: str, settings: dict[str, str]
) -> None:
    without = f"import sys; sys.modules[{module!r}] = None; {MAIN}"
    told = refusal(command(*words, settings=settings, program=without))
    assert told == f'{module} is not installed: pip install ".[{extra}]"'


@pytest.mark.parametrize("name", list(CONFIGS))
def test_the_classes_of_settings_are_those_of_the_packages(name: str) -> None:
    config = getattr(import_module(CONFIGS[name]), name)
    assert config.model_config["env_prefix"] == "SAGESTREAM_"


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
