"""`benchmark` on a small file from end to end, also after an interruption."""

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main

from graphstore.progress import Progress
from sagestream import cli
from sagestream.datasets import TableWords
from sagestream.verbs.table_options import OPTIONS as TABLE_OPTIONS
from tests.sagestream.verbs.commands import Done, run
from tests.training import fits
from tests.training.benchmark.test_run import here
from tests.training.checkerboard import DAY_MS, checkerboard
from training.benchmark.isolated import Cost
from training.benchmark.run import run as offline_run

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
    words += ["--seeds", "1", "--baselines", "popular", "--budget", "2"]
    done = benchmark(*words, "--json", str(out))
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
    assert told["models"]["sagestream"]["settings"][0]["budget_seconds"] == 120
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


class Interrupting:
    """Fits in this process, and is interrupted in place of a fit, as Ctrl-C does."""

    def __init__(self, after: int | None = None) -> None:
        self.after = after
        self.fitted = 0

    def __call__(self, function: Callable[..., Any], *arguments: Any, progress: Progress) -> tuple[Any, Cost]:
        if self.fitted == self.after:
            raise KeyboardInterrupt
        self.fitted += 1
        return here(function, *arguments, progress=progress)


def launched(monkeypatch: pytest.MonkeyPatch, launch: Interrupting) -> Interrupting:
    monkeypatch.setitem(offline_run.__kwdefaults__, "launch", launch)
    return launch


def test_an_interrupted_run_leaves_its_rows_and_goes_on(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tmp_path / "out.json", tmp_path / "whole.json"
    words = ["--interactions", str(shop), "--split", "leave-last-out", "--seeds", "2", "--baselines", "popular,recent"]
    launched(monkeypatch, Interrupting(after=3))
    stopped = benchmark(*words, "--json", str(out))
    assert (stopped.code, stopped.out) == (130, "")
    assert "interrupted: kept 3 finished fits; the same command with --resume goes on" in stopped.err
    told = json.loads(out.read_text())
    assert (told["finished"], told["missing"]) == (False, [{"model": "recent", "seed": 0}])
    assert set(told["models"]) == {"sagestream", "sagestream-without-parity", "popular"}
    for line in (
        "popular, seed 0: tuning and fit · 50% of all fits",
        "popular, seed 0: done · 1.5 CPU s · 100 MB · 75%",
    ):
        assert line in stopped.err
    # A row as soon as its seeds are done, before the next model begins.
    order = ["sagestream: NDCG@10 ", "popular, seed 0: tuning", "popular: NDCG@10 ", "recent, seed 0: tuning"]
    assert sorted(order, key=stopped.err.index) == order

    other = benchmark(*words, "--json", str(out), "--resume", "--k", "5")
    assert other.code == 2
    assert "lengths of the lists 10,20, now 5" in str(other.error)

    second = launched(monkeypatch, Interrupting())
    resumed = benchmark(*words, "--json", str(out), "--resume")
    assert (resumed.code, resumed.error, second.fitted) == (0, None, 1)
    assert "goes on after 3 finished fits" in resumed.err
    assert "sagestream, seed 1: kept · 1.5 CPU s" in resumed.err
    assert "sagestream: NDCG@10 " in resumed.err
    assert not out.with_name("out.json.unfinished").exists()
    in_one_go = benchmark(*words, "--json", str(whole))
    assert json.loads(out.read_text()) == json.loads(whole.read_text())
    assert resumed.out == in_one_go.out


def test_a_run_that_is_not_resumed_says_what_it_gives_up(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--interactions", str(shop), "--seeds", "1", "--baselines", "popular"]
    launched(monkeypatch, Interrupting(after=1))
    assert "nothing is kept; with --json, finished fits are" in benchmark(*words).err
    words += ["--json", str(tmp_path / "out.json")]
    launched(monkeypatch, Interrupting(after=1))
    assert "nothing to go on with" in benchmark(*words, "--resume").err  # and then it is interrupted
    launched(monkeypatch, Interrupting(after=0))
    again = benchmark(*words)
    assert "an unfinished run keeps 1 finished fit," in again.err
    assert "interrupted: kept 1 finished fit;" in again.err  # the first fit of this run would have removed it


def test_ties_at_the_cut_are_told_and_drawn_for_each_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = launched(monkeypatch, Interrupting())
    log = checkerboard()
    lines = [
        f"u{u},i{i},2014-05-{1 + t // DAY_MS // 3:02}" for u, i, t in zip(log.users, log.items, log.times, strict=True)
    ]
    file, out = tmp_path / "days.csv", tmp_path / "out.json"
    file.write_text("\n".join(["user,item,date", *lines]) + "\n")
    words = ["--interactions", str(file), "--split", "leave-last-out", "--seeds", "2", "--baselines", "popular"]
    done = benchmark(*words, "--json", str(out))
    assert (done.code, done.error) == (0, None)
    assert "the test event of 40 and the validation event of 40 of 40 shoppers are drawn anew for each seed" in done.err
    told = json.loads(out.read_text())
    assert told["ties"] == {"users": 40, "test": 40, "validation": 40}
    assert told["models"]["popular"]["seeds"] == 2
    assert launch.fitted == 4


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
        (["--interactions", "f.csv", "--resume"], "--resume needs --json"),
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
