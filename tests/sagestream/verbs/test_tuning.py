"""`tune` from the command line: a study that goes on, a file that `train` takes, signals."""

import json
import re
import signal
from pathlib import Path

import pytest

from graphstore.snapshots.snapshot import build_snapshot
from sagestream.interruption import EXIT_CODE
from sagestream.playground import state
from sagestream.playground.embedded import LOOPBACK
from tests.sagestream.verbs.commands import pipe, run, start
from tests.training import toy_shop
from tests.training.ray_workers import needs_ray
from training.config import TrainingConfig
from training.config_file import load_config, merge_changes, save_config

pytestmark = pytest.mark.slow

SMALL = {"sage": {"dim": 4, "max_steps": 2, "evaluate_every": 1, "batch_size": 64}, "evaluation_users": 4000}


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """A toy shop with a snapshot, and a training file to start from."""
    with toy_shop.shop_on_disk(tmp_path / "state", days=8) as (graph, engine, now):
        build_snapshot(engine, graph.snapshots_dir, as_of=now, created_at=now)
    file = tmp_path / "small.json"
    save_config(file, SMALL)
    return {"STATE_DIR": str(graph.state_dir), "TRAINING_CONFIG": str(file)}


def test_a_second_call_goes_on_and_the_file_is_a_configuration(settings: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "tuned.json"
    first = run("tune", "--trials", "1", "--out", str(out), "--json", settings=settings)
    assert (first.code, first.error) == (0, None)
    assert "a new study" in first.err
    assert (first.json["finished"], first.json["changes"]) == (1, {})
    assert json.loads(out.read_text()) == SMALL
    assert first.json["test"]["difference"] == 0
    second = run("tune", "--trials", "2", "--out", str(out), settings=settings, columns=80)
    assert max(len(line.rstrip()) for line in second.out.splitlines() if str(out) not in line) <= 80
    assert "goes on after 1 trials" in second.err
    assert "3 finished, 0 ended early" in second.out
    again = run("tune", "--trials", "0", "--out", str(out), "--json", settings=settings)
    assert again.json["finished"] == 3
    # The file holds what the trials began with, too: it counts by itself.
    assert json.loads(out.read_text()) == merge_changes(SMALL, again.json["changes"])
    assert load_config(out, base=TrainingConfig()).sage.dim == again.json["changes"].get("sage", {}).get("dim", 4)
    assert again.json["validation"]["best"] >= again.json["validation"]["default"]
    state.remove(Path(settings["STATE_DIR"]))  # what it left there is ours


def test_a_file_is_imported_and_searched_on_by_the_words_of_an_import(settings: dict[str, str], tmp_path: Path) -> None:
    rows = [
        f"{day + 1:02}/05/2024 {user % 24:02}:00,u{user},i{(user + day) % 6}" for day in range(28) for user in range(40)
    ]
    file = tmp_path / "shop.csv"
    file.write_text("\n".join(["date,who,item", *rows]))
    new = settings | {"STATE_DIR": str(tmp_path / "other")}
    wrong = run("tune", str(file), "--user-col", "who", settings=new)
    assert (wrong.code, "--day-first" in str(wrong.error)) == (2, True)
    done = run(
        *("tune", str(file), "--user-col", "who", "--day-first", "--trials", "1", "--json"),
        *("--out", str(tmp_path / "tuned.json")),
        settings=new,
    )
    assert "user = 'who'" in done.err
    assert (done.code, done.error) == (0, None)
    assert run("tune", "--user-col", "who", settings=new).code == 2
    assert run("tune", str(file), "--snapshot", "newest", settings=new).code == 2


@needs_ray
def test_a_ray_comes_to_the_study_of_one_process(settings: dict[str, str], tmp_path: Path) -> None:
    words = ("tune", "--trials", "2", "--batch", "2", "--json", "--out", str(tmp_path / "tuned.json"))
    with_ray = ("--engine", "ray", "--workers", "3", "--study", str(tmp_path / "ray.db"))
    done = pipe(b"", *words, *with_ray, settings=settings)
    assert done.code == 0, done.err
    assert "--batch 2: at most so many of 3 workers" in done.err
    assert f"{LOOPBACK}: peak memory" in done.err
    told = done.json
    assert sum(worker["tasks"] for worker in told.pop("workers")) == 2
    assert list(told.pop("peak_rss_mb_by_node")) == [LOOPBACK]
    own = run(*words, "--study", str(tmp_path / "own.db"), settings=settings).json
    for name in ("study", "seconds"):
        assert told.pop(name) != own.pop(name)
    assert told == own


@pytest.mark.kill
def test_sigterm_keeps_the_study(settings: dict[str, str], tmp_path: Path) -> None:
    study = tmp_path / "study.db"
    words = ["tune", "--trials", "1000", "--study", str(study), "--out", str(tmp_path / "tuned.json")]
    process = start(*words, settings=settings)
    assert process.stderr is not None
    for line in process.stderr:
        if re.search(r"trial 1 \(choices\): begins", line):
            break
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    assert process.wait(60) == EXIT_CODE, rest
    assert "the study keeps every trial" in rest
    assert not (tmp_path / "tuned.json").exists()
    done = run("tune", "--trials", "0", "--study", str(study), "--json", settings=settings)
    assert done.json["finished"] + done.json["pruned"] >= 1
    process.communicate()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--trials", "-1"), 2, "--trials"),
        (("--timeout", "-1"), 2, "--timeout"),
        (("--batch", "0"), 2, "--batch"),
        (("--workers", "2"), 2, "--workers"),
        (("--seed", str(2**32)), 2, "--seed"),
        (("--trials", "0", "--study", "x[/y].db"), 1, "no trial has finished"),
        (("--trials", "0"), 1, "no trial has finished"),
        (("--snapshot", "s1-1"), 1, "no snapshot"),
        (("--study", "."), 2, "is a directory"),
        (("--out", "."), 2, "is a directory"),
    ],
)
def test_wrong_words(
    words: tuple[str, ...],
    code: int,
    said: str,
    settings: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("tune", *words, settings=settings)
    assert done.code == code
    assert said in (done.err if code == 2 else str(done.error))


def test_a_file_of_another_kind_is_left_alone(settings: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "thesis.txt"
    file.write_text("years of work " * 100)
    done = run("tune", "--study", str(file), settings=settings)
    assert (done.code, type(done.error).__name__) == (1, "StudyError")
    assert file.read_text() == "years of work " * 100
