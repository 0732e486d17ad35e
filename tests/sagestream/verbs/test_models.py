"""`train` without services: the configuration of a file, a promotion that nobody could announce, lists afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sagestream.playground import state
from sagestream.playground.embedded import LOOPBACK, free_port
from tests.databases import migrated_sqlite
from tests.sagestream.verbs.commands import environment, run
from tests.waiting import wait_until
from training.lifecycle.run import RESUMED

pytestmark = pytest.mark.slow


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """A state directory with a toy shop; neither Kafka nor Redis."""
    from graphstore.session import open_engine, write
    from tests.training import toy_shop

    directory = tmp_path / "state"
    engine = open_engine(migrated_sqlite(directory / "graph.db"))
    with write(engine) as connection:
        toy_shop.open_shop(connection, days=8)
    engine.dispose()
    away = f"{LOOPBACK}:{free_port()}"
    return {"STATE_DIR": str(directory), "KAFKA_BOOTSTRAP_SERVERS": away, "REDIS_URL": f"redis://{away}/0"}


def test_a_promotion_stands_without_a_broker(alone: dict[str, str]) -> None:
    done = run("train", "--kind", "closed_form", "--json", settings=alone)
    assert (done.code, done.error) == (0, None)
    assert (done.json["verdict"], done.json["announced"]) == ("promoted", False)
    assert "not announced, no Kafka" in done.err
    (listed,) = run("models", "list", "--json", settings=alone).json
    assert (listed["status"], listed["model_version"]) == ("champion", done.json["model_version"])
    told = run("recommend", "u3", "--model", "champion", "--k", "4", "--json", settings=alone).json
    assert {item["title"] for item in told["items"]} == {"thing odd"}
    assert "thing even" in run("similar", "i4", "--model", listed["model_version"], settings=alone).out
    unknown = run("recommend", "nobody", "--model", "champion", settings=alone)
    assert (unknown.code, str(unknown.error)) == (
        1,
        "no shopper 'nobody' in the graph: no event of theirs has come yet",
    )


def test_a_switch_by_hand_stands_without_a_broker(alone: dict[str, str]) -> None:
    trained = [run("train", "--kind", "closed_form", "--json", settings=alone).json for _ in range(2)]
    first, second = (one["model_version"] for one in trained)
    for words, version in ((("promote", second), second), (("rollback",), first)):
        done = run("models", *words, settings=alone)
        assert (done.code, done.error) == (0, None)
        assert done.out == f"{words[0]}: the champion is {version}\n"
        assert "not announced, no Kafka" in done.err
        assert "finds it in the registry by itself" in " ".join(done.err.split())
        listed = run("models", "list", "--json", settings=alone).json
        assert [row["model_version"] for row in listed if row["status"] == "champion"] == [version]


def test_a_model_that_cannot_serve_is_not_promoted_by_hand(alone: dict[str, str]) -> None:
    first, second = (run("train", "--kind", "closed_form", "--json", settings=alone).json for _ in range(2))
    (Path(second["bundle"]) / "blend.json").write_text("{}")
    done = run("models", "promote", second["model_version"], settings=alone)
    assert done.code == 1
    assert "cannot serve: " in str(done.error)
    listed = run("models", "list", "--json", settings=alone).json
    assert [row["model_version"] for row in listed if row["status"] == "champion"] == [first["model_version"]]


def test_the_file_configures_the_run(alone: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "tuned.json"
    file.write_text(json.dumps({"sage": {"dim": 4, "max_steps": 2}, "blend_l2": 3.5}))
    settings = {**alone, "GATE_MIN_USERS": "7", "TRAINING_CONFIG": str(tmp_path / "none.json")}
    done = run("train", "--config", str(file), "--json", settings=settings)
    assert (done.code, done.error) == (0, None)
    config = json.loads((Path(done.json["bundle"]) / "config.json").read_text())["training"]
    assert (config["sage"]["dim"], config["blend_l2"], config["gate_min_users"]) == (4, 3.5, 7)


def test_without_the_option_the_file_that_the_settings_name_configures_the_run(
    alone: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "tuned.json"
    file.write_text(json.dumps({"evaluation_users": 17}))
    done = run("train", "--kind", "closed_form", "--json", settings={**alone, "TRAINING_CONFIG": str(file)})
    assert (done.code, done.error) == (0, None)
    config = json.loads((Path(done.json["bundle"]) / "config.json").read_text())["training"]
    assert config["evaluation_users"] == 17


@pytest.mark.kill
def test_a_killed_training_is_gone_on_with_where_asked_for(alone: dict[str, str], tmp_path: Path) -> None:
    file, directory = tmp_path / "patient.json", Path(alone["STATE_DIR"])
    sage = {"dim": 4, "batch_size": 64, "max_steps": 300, "evaluate_every": 5, "patience": 100}
    file.write_text(json.dumps({"sage": sage}))
    command = [sys.executable, "-m", "sagestream", "train", "--config", str(file)]
    with subprocess.Popen(command, env=os.environ | environment(alone)) as training:
        left = wait_until(lambda: list(directory.glob("checkpoints/s*.pt")), seconds=180)
        assert training.poll() is None
        training.kill()
    done = run("train", "--resume", "--config", str(file), "--json", settings=alone)
    assert (done.code, done.error) == (0, None)
    assert done.json["snapshot_id"] == left[0].name.partition(".")[0]
    assert RESUMED in done.json["reasons"]
    assert "no killed run" not in done.err
    again = run("train", "--resume", "--config", str(file), "--json", settings=alone)
    assert again.json["snapshot_id"] > done.json["snapshot_id"]
    assert RESUMED not in again.json["reasons"]
    assert "no killed run to go on with" in again.err
    assert not list(directory.glob("checkpoints/s*.pt"))
    state.remove(directory)  # knows everything that a training leaves
    assert not directory.exists()


def test_only_graphsage_can_be_gone_on_with(alone: dict[str, str]) -> None:
    done = run("train", "--kind", "closed_form", "--resume", settings=alone)
    assert done.code == 2
    assert "--resume" in done.err
    assert run("history", "--json", settings=alone).json == []


def test_a_wrong_file_is_named_before_anything_is_trained(alone: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "tuned.json"
    file.write_text('{"sage": {"width": 4}}')
    done = run("train", "--config", str(file), settings=alone)
    assert (done.code, type(done.error).__name__) == (1, "ConfigFileError")
    assert "sage.width" in str(done.error)
    missing = run("train", "--config", str(tmp_path / "none.json"), settings=alone)
    assert (missing.code, type(missing.error).__name__) == (1, "UnusableFile")
    assert run("history", "--json", settings=alone).json == []


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_that_is_none_is_told_at_once(alone: dict[str, str], seed: str) -> None:
    done = run("train", "--seed", seed, settings=alone)
    assert done.code == 2
    assert "--seed" in done.err


def test_nothing_to_go_on_from(alone: dict[str, str]) -> None:
    done = run("train", "--kind", "incremental", settings=alone)
    assert (done.code, type(done.error).__name__) == (1, "NoChampion")
    assert "no champion" in str(done.error)
