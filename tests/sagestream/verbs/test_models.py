"""`train` without services: the configuration of a file, a promotion that nobody could announce, lists afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from graphstore.session import open_engine, write
from sagestream.playground import state
from sagestream.playground.embedded import LOOPBACK, free_port
from serving.cache import ListReader
from serving.config import ServingConfig
from serving.publisher import Publisher
from serving.source import ShopSource
from tests.databases import migrated_sqlite
from tests.sagestream.verbs.commands import environment, run
from tests.serving.toy import register, toy_opened
from tests.waiting import wait_until
from training.lifecycle.registry import ban
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
        later = "readers get it when the publisher has written its lists"
        assert done.out == f"{words[0]}: the champion is {version}, {later}\n"
        assert "not switched, no Redis" in done.err
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


def test_a_rollback_by_hand_is_served_at_once_and_never_returns(
    redis: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the call of the verb to the answer of a reader that caches the pointer, as a web process does."""
    monkeypatch.setattr("training.lifecycle.announcer.BOOTSTRAP_SECONDS", 0.1)  # nobody is there
    monkeypatch.setattr("training.lifecycle.bundle_check.check_bundle", lambda path: None)  # these have no files
    settings = {"STATE_DIR": str(tmp_path), "REDIS_URL": redis_url, "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:1"}
    url = migrated_sqlite(tmp_path / "graph.db")
    engine = open_engine(url)
    publisher = Publisher(ShopSource(engine), redis, ServingConfig(), load=toy_opened())
    for version in ("m1", "m2", "m3"):
        register(engine, version, status="kept")
        told = run("models", "promote", version, "--why", "a try", "--json", settings=settings).json
        assert told == {"champion": version, "served": False, "announced": False}  # its lists are not there
        publisher.reconcile()
    told = run("report", settings=settings).out
    assert "m3 is on probation: 50% of the shoppers stay with the previous champion for at most 7 days" in told
    assert run("report", "--json", settings=settings).json["probation"]["from_version"] == "m2"
    reader = ListReader(redis)
    users = [f"u{number}" for number in range(60)]
    assert {found.model_version for user in users if (found := reader.assign(user, "home"))} == {"m2", "m3"}
    back = run("models", "rollback", "--json", settings=settings)
    assert (back.code, back.json) == (0, {"champion": "m2", "served": True, "announced": False})
    wait_until(lambda: reader.champion() == "m2", seconds=1.0)
    assert {found.variant for user in users if (found := reader.assign(user, "home"))} == {"champion"}
    again = run("models", "rollback", settings=settings)  # the lists of m1 expire, but live
    assert again.out == "rollback: the champion is m1, readers get its lists\n"
    third = run("models", "rollback", settings=settings)
    assert "nothing to go back to" in str(third.error)
    story = [(row["what"], row["to_version"], row["who"], row["why"]) for row in told_story(settings)]
    assert story[:3] == [
        ("rollback", "m1", "command line", "asked for by hand"),
        ("rollback", "m2", "command line", "asked for by hand"),
        ("promote", "m3", "command line", "a try"),
    ]
    with write(engine) as connection:
        ban(connection, "m3", now=1)
    refused = run("models", "promote", "m3", settings=settings)
    assert "because it did harm" in str(refused.error)
    forced = run("models", "promote", "m3", "--force", settings=settings)
    assert forced.code == 0
    assert "m3 is banned since 1970-01-01 00:00:00, because it did harm" in " ".join(forced.err.split())
    engine.dispose()


def told_story(settings: dict[str, str]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = run("history", "--json", settings=settings).json
    return found


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
