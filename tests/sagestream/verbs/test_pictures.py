"""`visualize` and `graph report --picture` on a toy shop: files that are pictures, reasons for those that are not."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from graphstore.session import write
from graphstore.snapshots.snapshot import build_snapshot
from tests.sagestream.verbs.commands import run
from tests.training import toy_shop
from training.config import SageConfig, TrainingConfig
from training.data.dataset import TooFewEvents
from training.inspection import ranking_curves
from training.lifecycle.run import RunSpec, run_training
from training.options import TrainingOptions

pytestmark = pytest.mark.slow

CONFIG = TrainingConfig(sage=SageConfig(dim=8, max_steps=6, evaluate_every=2, batch_size=128, learning_rate=0.02))


@dataclass(frozen=True)
class Shop:
    """Settings that lead to it, and its models: without GraphSAGE, and with it."""

    settings: dict[str, str]
    first: str
    sage: str


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A closed-form champion and a GraphSAGE that came second, on a snapshot with three more days."""
    with toy_shop.shop_on_disk(tmp_path_factory.mktemp("state"), days=10) as (graph, engine, now):
        settings = {"graph": graph, "config": CONFIG, "now": lambda: now, "options": TrainingOptions(seed=0)}
        first = run_training(engine, RunSpec("closed_form", "test"), **settings)
        second = run_training(engine, RunSpec("graphsage", "test"), **settings)
        with write(engine) as connection:
            toy_shop.trade(connection, first_day=10, days=3)
            later = toy_shop.closing_time(connection)
        build_snapshot(engine, graph.snapshots_dir, as_of=later, created_at=later)
    return Shop({"STATE_DIR": str(graph.state_dir)}, first.model_version, second.model_version)


def drawn(directory: Path) -> set[str]:
    """Names of the files, each checked to be what it says."""
    for file in directory.iterdir():
        assert file.read_bytes().startswith(b"\x89PNG" if file.suffix == ".png" else b"<?xml"), file
    return {file.name for file in directory.iterdir()}


def both(*names: str) -> set[str]:
    return {f"{name}{ending}" for name in names for ending in (".png", ".svg")}


def test_all_of_a_model(shop: Shop, tmp_path: Path) -> None:
    done = run("visualize", shop.sage, "--out", str(tmp_path / "p"), "--json", settings=shop.settings)
    assert (done.code, done.error) == (0, None)
    assert drawn(tmp_path / "p") == both("metric_curves", "precision_recall", "learning_curve", "embeddings_tsne")
    assert {Path(file).name for file in done.json["pictures"]} == drawn(tmp_path / "p")
    assert done.json["left_out"] == {}
    assert [look["step"] for look in done.json["learning"]["looks"]] == [2, 4, 6]
    assert done.json["embeddings"] == {"source": "GraphSAGE", "items": toy_shop.NUM_ITEMS, "method": "tsne"}
    measured = run("evaluate", shop.sage, "--json", settings=shop.settings).json
    drawn_curves = done.json["curves"][shop.sage]
    assert drawn_curves["ndcg"][19] == pytest.approx(measured["ndcg@20"], abs=1e-6)
    assert drawn_curves["recall"][9] == pytest.approx(measured["recall@10"], abs=1e-6)
    again = run("visualize", shop.sage, "--out", str(tmp_path / "q"), settings=shop.settings)
    assert again.code == 0
    for name in drawn(tmp_path / "p"):
        assert (tmp_path / "p" / name).read_bytes() == (tmp_path / "q" / name).read_bytes(), name


def test_what_a_model_has_not_is_left_out_and_said(shop: Shop) -> None:
    done = run("visualize", "--json", settings=shop.settings)  # the champion, into the state directory
    assert (done.code, done.error) == (0, None)
    directory = Path(shop.settings["STATE_DIR"]) / "pictures" / shop.first
    assert drawn(directory) == both("metric_curves", "precision_recall", "embeddings_tsne")
    assert "no GraphSAGE" in done.json["left_out"]["learning"]
    assert done.json["embeddings"]["source"] == "linear filter"
    alone = run("visualize", "--what", "learning", settings=shop.settings)
    assert (alone.code, type(alone.error).__name__) == (1, "NothingLearned")


def test_a_fault_of_ours_is_not_left_out(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(ranking_curves, "ranking_curves", wrong)
    with pytest.raises(KeyError, match="ours"):
        run("visualize", shop.sage, "--out", str(tmp_path / "p"), settings=shop.settings)


def test_reasons_are_no_markup(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise TooFewEvents("in [/here]")

    monkeypatch.setattr(ranking_curves, "ranking_curves", none)
    done = run("visualize", shop.sage, "--out", str(tmp_path / "p"), "--json", settings=shop.settings)
    assert (done.code, done.error) == (0, None)
    assert "in [/here]" in done.err


def test_nothing_is_new_to_a_model(shop: Shop, tmp_path: Path) -> None:
    """A fresh model was taught everything there is."""
    spec, options = RunSpec("closed_form", "t"), TrainingOptions(seed=0)
    with toy_shop.shop_on_disk(tmp_path, days=8) as (graph, engine, now):
        run_training(engine, spec, graph=graph, config=CONFIG, now=lambda: now, options=options)
    done = run("visualize", "--what", "curves", settings={"STATE_DIR": str(tmp_path)})
    assert (done.code, type(done.error).__name__) == (1, "TooFewEvents")
    assert "Take in newer events" in str(done.error)


def test_a_benchmark_is_drawn(shop: Shop, tmp_path: Path) -> None:
    row = {"ndcg@20": {"mean": 0.1, "std": 0.0}, "recall@20": {"mean": 0.1, "std": 0.02}}
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"dataset": "toy", "split": "temporal", "models": {"a": row, "b": row}}))
    done = run("visualize", "--json-results", str(file), "--out", str(tmp_path / "p"), "--json", settings=shop.settings)
    assert (done.code, done.error) == (0, None)
    assert drawn(tmp_path / "p") == both("benchmark")
    file.write_text("{}")
    wrong = run("visualize", "--json-results", str(file), settings=shop.settings)
    assert (wrong.code, type(wrong.error).__name__) == (1, "ResultsFileError")
    both_asked = run("visualize", "m1", "--json-results", str(file), settings=shop.settings)
    assert both_asked.code == 2


def test_degrees_are_drawn_beside_the_report(shop: Shop, tmp_path: Path) -> None:
    done = run("graph", "report", "--picture", str(tmp_path / "degrees.svg"), "--json", settings=shop.settings)
    assert (done.code, done.error) == (0, None)
    assert done.json["users"] == toy_shop.NUM_USERS
    assert drawn(tmp_path) == {"degrees.svg"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("visualize", "m99"), 1, "no model m99"),
        (("visualize", "--what", "dreams"), 2, "--what"),
        (("visualize", "--method", "pca"), 2, "--method"),
        (("visualize", "--out", "pyproject.toml"), 2, "no directory"),
        (("graph", "report", "--picture", "degrees.pdf"), 2, "--picture"),
        (("graph", "report", "--picture", "/nowhere/at/all/degrees.png"), 2, "--picture"),
    ],
)
def test_wrong_words(words: tuple[str, ...], code: int, said: str, shop: Shop) -> None:
    done = run(*words, settings=shop.settings)
    assert done.code == code
    assert said in (done.err if code == 2 else str(done.error))
