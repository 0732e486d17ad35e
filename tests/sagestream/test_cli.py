"""The command line on real parts: words, exit codes, what is printed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from graphstore.session import open_engine, read
from sagestream import cli
from sagestream.error_messages import NO_GRAPH
from sagestream.playground.embedded import LOOPBACK, Broker, free_port
from tests.sagestream.verbs.commands import sagestream


@pytest.fixture
def settings(tmp_path: Path, redis: Redis, redis_url: str) -> dict[str, str]:
    nobody = f"{LOOPBACK}:{free_port()}"
    return {"STATE_DIR": str(tmp_path / "state"), "REDIS_URL": redis_url, "KAFKA_BOOTSTRAP_SERVERS": nobody}


@pytest.fixture
def shop_file(tmp_path: Path) -> Path:
    """Two circles of shoppers with a shelf each, over thirty days."""
    lines = ["user,item,timestamp"]
    for number in range(3000):
        shopper = number * 7 % 60
        shelf = "a" if shopper % 2 else "b"
        lines.append(f"u{shopper},{shelf}{number * 13 % 20},{1_700_000_000 + number * 864}")
    path = tmp_path / "shop.csv"
    path.write_text("\n".join(lines))
    return path


def test_from_a_file_to_a_model_and_a_list(settings: dict[str, str], shop_file: Path) -> None:
    done = sagestream("import", str(shop_file), "--direct", "--json", settings=settings)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stored"] == 3000
    again = sagestream("import", str(shop_file), "--direct", "--json", settings=settings)
    assert json.loads(again.stdout)["duplicate"] == 3000

    snapshot = sagestream("preprocess", "--json", settings=settings)
    assert snapshot.returncode == 0, snapshot.stderr
    assert json.loads(snapshot.stdout)["interactions"] == 3000
    report = sagestream("graph", "report", "--json", settings=settings)
    assert json.loads(report.stdout)["users"] == 60
    assert "density" in sagestream("graph", "report", settings=settings).stdout

    trained = sagestream("train", "--kind", "closed_form", "--json", settings={**settings, "GATE_MIN_USERS": "5"})
    # The model is made and promoted; only its announcement finds no broker, and says so.
    assert trained.returncode == 0, trained.stderr
    assert "not announced, no Kafka" in trained.stderr
    listed = json.loads(sagestream("models", "list", "--json", settings=settings).stdout)
    assert [model["status"] for model in listed] == ["champion"]
    story = json.loads(sagestream("history", "--json", settings=settings).stdout)
    assert [(entry["what"], entry.get("status")) for entry in story] == [("promote", None), ("run", "promoted")]
    assert "promoted" in sagestream("history", settings=settings).stdout
    assert listed[0]["model_version"] in sagestream("models", "list", settings=settings).stdout

    nothing = sagestream("recommend", "u1", settings=settings)
    assert nothing.returncode == 1
    assert "no model is published" in nothing.stderr
    back = sagestream("models", "rollback", settings=settings)
    assert back.returncode == 1
    assert "nothing to go back to" in back.stderr
    rates = sagestream("report", "--json", settings=settings)
    assert json.loads(rates.stdout)["ctr"]["all"]["impressions"] == 0


def test_produce_names_the_lines_that_are_no_events(broker: Broker, settings: dict[str, str]) -> None:
    good = '{"event_id":"e","event_type":"view","user_id":"u","item_id":"i","event_time":"2026-01-01T00:00:00Z"}'
    reach = {
        **settings,
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "PRODUCER_IDEMPOTENT": str(broker.kind == "kafka").lower(),
    }
    done = sagestream("produce", "-", "--json", settings=reach, stdin=f"{good}\n\nnonsense\n{good}\n")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"produced": 2, "rejected": 1}
    assert "line 3" in done.stderr
    created = sagestream("init", settings=reach)
    assert "none, all were there" in created.stdout
    seen = sagestream("doctor", "--json", settings=reach)
    checks = {check["name"]: check for check in json.loads(seen.stdout)}
    assert seen.returncode == 1  # no process runs
    assert checks["database"]["ok"]
    assert checks["redis"]["ok"]
    assert checks["kafka interactions"]["ok"]
    assert not checks["worker"]["ok"]


def test_a_service_that_is_away_is_one_line_not_a_traceback(settings: dict[str, str]) -> None:
    away = {**settings, "REDIS_URL": f"redis://{LOOPBACK}:{free_port()}/0"}
    for words in (("recommend", "u"), ("similar", "i"), ("explain", "u", "i")):
        done = sagestream(*words, settings=away)
        assert done.returncode == 1
        assert done.stderr.startswith("sagestream: no Redis at ")


@pytest.mark.parametrize(
    "words",
    [
        ("recommend", "u", "--model", "champion"),
        ("preprocess",),
        ("visualize",),
        ("export",),
        ("score", "--out", "lists.jsonl"),
        ("models", "list"),
    ],
)
def test_a_fresh_state_directory_has_no_graph_yet(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAGESTREAM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["sagestream", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    (last,) = capsys.readouterr().err.splitlines()[-1:]
    assert last.startswith(("sagestream: no graph here yet: ", f"sagestream: there is no database at {tmp_path}"))
    assert last.endswith(NO_GRAPH.partition(": ")[2])
    if words[:1] != ("preprocess",):
        assert not (tmp_path / "state" / "graph.db").exists()  # a look creates none


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("graph", "report"), 1, "no snapshot"),
        (("import", "nowhere.csv", "--direct"), 1, "nowhere.csv is neither amazon"),
        (("produce", "nowhere.jsonl"), 1, "nowhere.jsonl"),
        (("recommend", "u", "--k", "0"), 2, "--k"),
        (("train", "--kind", "magic"), 2, "magic"),
        (("fly",), 2, "fly"),
    ],
)
def test_wrong_words_and_missing_files(words: tuple[str, ...], code: int, said: str, settings: dict[str, str]) -> None:
    done = sagestream(*words, settings=settings)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_malformed_setting_is_told(settings: dict[str, str]) -> None:
    done = sagestream("train", settings={**settings, "SAGE": "{bad"})
    assert done.returncode == 1
    assert "sage" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_older_schema_is_told(settings: dict[str, str]) -> None:
    Path(settings["STATE_DIR"]).mkdir()
    seen = sagestream("doctor", "--json", settings=settings)
    (database,) = [check for check in json.loads(seen.stdout) if check["name"] == "database"]
    assert not database["ok"]
    assert "sagestream init" in database["finding"]
    engine = open_engine(f"sqlite:///{Path(settings['STATE_DIR']) / 'graph.db'}")
    with read(engine):
        pass
    engine.dispose()


HEAVY = {"torch", "torch_geometric", "faust", "sqlalchemy", "pandas", "evidently"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        # The image of the web process has no database, and reads the settings of all packages.
        ("import sagestream.cli, sagestream.settings", HEAVY | {"kafka", "django", "sklearn"}),
        ("import sagestream.cli, serving.web.wsgi, serving.web.views", HEAVY),
        ("import sagestream.cli, stream.worker.app, stream.worker.sink", {"torch", "pandas", "evidently"}),
        (
            "import sagestream.cli, serving.publisher, serving.nearline, training.models.bundle",
            {"torch_geometric", "sklearn"},
        ),
    ],
)
def test_each_process_loads_only_its_own(code: str, forbidden: set[str]) -> None:
    program = f"{code}\nimport sys\nprint(' '.join(sys.modules))"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "serving.web.settings"}
    command = [sys.executable, "-W", "ignore", "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()
    assert not forbidden & set(loaded)


def test_a_process_that_logs_json_says_nothing_else_on_standard_error(tmp_path: Path) -> None:
    """Not even of a wrong setting, which ends it, or of a variable that nobody reads."""
    done = subprocess.run(
        [sys.executable, "-m", "sagestream", "nearline"],
        env={
            **os.environ,
            "SAGESTREAM_LOG_FORMAT": "json",
            "SAGESTREAM_STATE_DIR": str(tmp_path),
            "SAGESTREAM_DATABASE_URL": "nonsense",
            "SAGESTREAM_LISTLENGTH": "5",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    first, last = (json.loads(line) for line in done.stderr.splitlines())
    assert first["message"].startswith("a variable of the environment: SAGESTREAM_LISTLENGTH is not a setting")
    assert (last["level"], last["process"]) == ("CRITICAL", "nearline")
    assert last["message"].startswith("the process ends: SAGESTREAM_DATABASE_URL")
    assert "exception" not in last
