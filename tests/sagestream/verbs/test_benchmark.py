"""`benchmark` on a small file from end to end, `evaluate` on a shop that went on trading."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

from graphstore.config import GraphstoreConfig
from graphstore.session import open_engine, write
from graphstore.snapshots.snapshot import build_snapshot
from sagestream import cli
from sagestream.datasets import TableWords
from sagestream.verbs.table_options import OPTIONS as TABLE_OPTIONS
from tests.databases import migrated_sqlite
from tests.sagestream.verbs.commands import Done, run
from tests.training import fits
from tests.training.benchmark.test_run import here
from tests.training.checkerboard import checkerboard
from tests.training.toy_shop import closing_time, open_shop, trade
from training.benchmark.run import run as offline_run
from training.config import TrainingConfig
from training.features.snapshot_features import featurize
from training.lifecycle.run import RunSpec, run_training
from training.options import TrainingOptions

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def our_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of a known quality in the place of ours: what is tested here is the way to it and from it."""
    module = ModuleType("training.search.model_search")
    module.fit_best = fits.fit_best  # type: ignore[attr-defined]
    module.with_patience = lambda config: config  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "training.search.model_search", module)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    log = checkerboard()
    lines = [f"u{u},i{i},{1_400_000_000 + t // 1000}" for u, i, t in zip(log.users, log.items, log.times, strict=True)]
    file = tmp_path / "shop.csv"
    file.write_text("\n".join(["user,item,timestamp", *lines, ",i1,1400000000"]) + "\n")
    return file


FILES = {
    "benchmark": ("--interactions", "complete-journey"),
    "preprocess": ("complete-journey",),
    "playground": ("--dataset", "complete-journey"),
}


def benchmark(*words: str) -> Done:
    return run("benchmark", *words, settings={})


def test_a_file_becomes_a_table_and_json(shop: Path, tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl"
    items.write_text("".join(json.dumps({"item_id": f"i{n}", "title": f"thing {n % 2}"}) + "\n" for n in range(24)))
    out = tmp_path / "out.json"
    words = ["--interactions", str(shop), "--items", str(items), "--split", "leave-last-out", "--k", "5"]
    done = benchmark(*words, "--seeds", "1", "--baselines", "popular", "--json", str(out))
    assert (done.code, done.error) == (0, None)
    told = json.loads(out.read_text())
    of_events, of_items = told["understood"][str(shop)], told["understood"][str(items)]
    assert of_events["columns"] == {"user": "user", "item": "item", "time": "timestamp"}
    assert (of_events["times_are"], of_items["columns"]["title"], of_items["items"]) == (
        "seconds since 1970",
        "title",
        24,
    )
    assert (told["dataset"], told["split"], told["best_baseline"]) == ("shop.csv", "leave-last-out", "popular")
    assert set(told["models"]) == {"sagestream", "sagestream-without-parity", "popular"}
    assert told["models"]["sagestream"]["settings"][0]["width"] > 0  # features came along
    assert told["ratio"]["ndcg@20"] > 1
    assert "| **sagestream**" in done.out
    assert "left out: 1 rows, no user" in done.err
    assert "no features of items" not in done.err


def test_a_table_without_a_file_of_items_is_told_of_it(shop: Path) -> None:
    words = ["--interactions", str(shop), "--split", "leave-last-out", "--seeds", "1", "--baselines", "popular"]
    done = benchmark(*words)
    assert (done.code, done.error) == (0, None)
    assert "no features of items: --items names a file" in done.err


def test_two_given_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(offline_run.__kwdefaults__, "launch", here)
    rows = {"train": range(0, 20, 2), "test": range(20, 24, 2)}
    for name, items in rows.items():
        lines = (" ".join([str(user), *(f"{item + user % 2:02}" for item in items)]) for user in range(10))
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    words = ["--split", "given", "--train", str(tmp_path / "train"), "--test", str(tmp_path / "test")]
    out = tmp_path / "out.json"
    done = benchmark(*words, "--seeds", "1", "--baselines", "", "--json", str(out))
    assert (done.code, done.error) == (0, None)
    told = json.loads(out.read_text())
    assert (told["split"], told["best_baseline"]) == ("given", None)
    assert told["models"]["sagestream"]["recall@10"]["mean"] == 1
    assert told["models"]["sagestream"]["settings"][0]["width"] == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "--interactions"),
        (["--interactions", "f.csv", "--k", "10,x"], "--k"),
        (["--interactions", "f.csv", "--k", "0"], "--k"),
        (["--interactions", "f.csv", "--seeds", "0"], "--seeds"),
        (["--interactions", "f.csv", "--split", "random"], "--split"),
        (["--interactions", "f.csv", "--train", "t"], "--train"),
        (["--interactions", "f.csv", "--baselines", "oracle"], "no baseline oracle"),
        (["--interactions", "f.csv", "--json", "/nowhere/at/all/out.json"], "no directory"),
        (["--interactions", "complete-journey", "--user-col", "u"], "no file with columns"),
        (["--split", "given", "--train", "t"], "--train and --test"),
        (["--split", "given", "--train", "t", "--test", "t", "--interactions", "f.csv"], "no table"),
        (["--split", "given", "--train", "t", "--test", "t", "--repeats", "allow"], "--repeats"),
    ],
)
def test_wrong_words_are_told_with_exit_2(words: list[str], reason: str) -> None:
    done = benchmark(*words)
    assert done.code == 2
    assert reason in done.err


@pytest.mark.parametrize(
    ("content", "words", "error"),
    [
        ("user,item\nu,i\n", ["--no-times", "--items", "nowhere.csv"], "UnreadableFile"),
        ("user,item\nu,i\n", ["--split", "leave-last-out"], "TooFewEvents"),
    ],
)
def test_what_cannot_be_done_is_told_with_exit_1(tmp_path: Path, content: str, words: list[str], error: str) -> None:
    file = tmp_path / "f.csv"
    file.write_text(content)
    done = benchmark("--interactions", str(file), "--baselines", "popular", *words)
    assert (done.code, type(done.error).__name__) == (1, error)


@pytest.mark.parametrize(
    ("content", "words", "option"),
    [
        ("colour,size\nred,1\n", [], "--user-col and --item-col"),
        ("user,item\nu,i\n", ["--user-col", "buyer"], "no column 'buyer'"),
        ("user,item\n", ["--no-times"], "no row at all"),
        ("user,item\nu,i\n", [], "--no-times"),
    ],
)
def test_what_is_not_understood_is_told_with_exit_2(
    tmp_path: Path, content: str, words: list[str], option: str
) -> None:
    file = tmp_path / "f.csv"
    file.write_text(content)
    done = benchmark("--interactions", str(file), "--baselines", "popular", *words)
    assert done.code == 2
    assert option in str(done.error)


def test_a_library_that_a_baseline_needs_is_asked_for_before_anything_is_read(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagestream.extras.find_spec", lambda name: None if name == "implicit" else find_spec(name))
    for baselines in ([], ["--baselines", "popular,als"]):
        done = benchmark("--interactions", str(shop), *baselines)
        assert (done.code, type(done.error).__name__) == (1, "MissingExtra")
        assert 'implicit is not installed: pip install ".[benchmark]"' in str(done.error)
        assert "Read" not in done.err


@pytest.mark.parametrize("verb", ["benchmark", "preprocess", "playground"])
def test_columns_are_named_as_for_an_import(verb: str) -> None:
    verbs = typer.main.get_command(cli.app).commands
    ours, theirs = ({option.name: option.help for option in verbs[name].params} for name in (verb, "import"))
    for name in TABLE_OPTIONS:
        parameter = f"{name}_col" if name in TableWords.MEANINGS else name
        assert ours[parameter] == theirs[parameter], name
    assert run(verb, "--timezone", "Mars/Olympus", *FILES[verb], settings={}).code == 2
    assert run(verb, "--user-col", "buyer", *FILES[verb], settings={}).code == 2


def test_what_was_understood_is_told_before_the_first_fit(shop: Path) -> None:
    done = benchmark("--interactions", str(shop), "--split", "temporal", "--baselines", "oracle")
    assert "no baseline oracle" in done.err
    done = benchmark("--interactions", str(shop), "--split", "leave-last-out", "--items", "nowhere.csv")
    assert done.code == 1
    assert "user = 'user' · item = 'item'" in done.err
    assert "each row is a " in done.err
    assert "events from " in done.err


def test_a_dry_run_says_what_was_understood_and_stops(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = benchmark("--interactions", str(shop), "--baselines", "popular", "--dry-run", "--json", str(out))
    assert (done.code, done.out) == (0, "")
    assert "times are seconds since 1970" in done.err
    assert set(json.loads(out.read_text())) == {"dataset", "understood"}


def test_items_of_which_only_the_id_is_known_are_refused(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,colour\ni1,red\n")
    done = benchmark("--interactions", str(shop), "--baselines", "popular", "--items", str(tmp_path / "items.csv"))
    assert done.code == 2
    assert "only the id 'item' is understood: name another column with --title-col" in str(done.error)


def test_a_path_is_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.csv").write_text("user,item\nu,i\n")
    Path("x[").mkdir()
    Path("x[", "y].csv").write_text("item,title\nother,Tea\n")
    done = benchmark("--interactions", "f.csv", "--no-times", "--baselines", "popular", "--items", "x[/y].csv")
    assert (done.code, type(done.error).__name__) == (1, "TooFewEvents")
    assert "x[/y].csv holds none" in done.err


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = benchmark("--interactions", str(tmp_path / "f.csv"), "--baselines", "popular")
    assert (done.code, type(done.error).__name__) == (1, "UnknownDataset")


def test_a_champion_is_measured_on_what_came_after_it(tmp_path: Path) -> None:
    settings = {"STATE_DIR": str(tmp_path)}
    graph = GraphstoreConfig(state_dir=tmp_path)
    engine = open_engine(migrated_sqlite(tmp_path / "graph.db"))
    nobody = run("evaluate", settings=settings)
    assert (nobody.code, type(nobody.error).__name__) == (1, "NoChampion")
    with write(engine) as connection:
        open_shop(connection, days=12)
        now = closing_time(connection)
    result = run_training(
        engine,
        RunSpec("closed_form", "test"),
        graph=graph,
        config=TrainingConfig(),
        now=lambda: now,
        options=TrainingOptions(seed=0),
    )
    too_early = run("evaluate", settings=settings)
    assert (too_early.code, type(too_early.error).__name__) == (1, "TooFewEvents")
    with write(engine) as connection:
        trade(connection, first_day=12, days=3)
        later = closing_time(connection)
    snapshot = build_snapshot(engine, graph.snapshots_dir, as_of=later, created_at=later, featurize=featurize)
    engine.dispose()
    done = run("evaluate", result.model_version, "--json", settings=settings)
    assert (done.code, done.error) == (0, None)
    assert (done.json["model_version"], done.json["snapshot_id"]) == (result.model_version, snapshot.snapshot_id)
    assert done.json["users"] == 40
    assert done.json["recall@10"] == 1.0  # four favourites each, and they are known
    assert done.json["warm"]["users"] == 40
    shown = run("evaluate", settings=settings, columns=80).out
    assert "recall@10" in shown
    assert result.model_version in shown.split()
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80
