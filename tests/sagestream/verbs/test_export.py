"""`export`, `score` and `train-distributed` as they are called, on a shop of known favourites."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from redis import Redis
from sqlalchemy import select

from graphstore.config import GraphstoreConfig
from graphstore.session import open_engine, read, write
from graphstore.snapshots.files import load_snapshot
from graphstore.snapshots.snapshot import build_snapshot
from graphstore.tables import impressions
from sagestream import extras
from sagestream.playground.embedded import LOOPBACK
from sagestream.registered import snapshot_directory
from serving.links import landing
from tests.sagestream.verbs.commands import environment, pipe, run
from tests.training.ray_workers import needs_ray
from tests.training.toy_shop import closing_time, favourites, shop_on_disk
from training.config import SageConfig, TrainingConfig
from training.config_file import load_config, save_config
from training.export.encoder import FORMATS
from training.features.snapshot_features import featurize
from training.lifecycle.run import RunSpec, run_training
from training.models.bundle import load_bundle, save_bundle
from training.models.sage_only import fit_sage_model
from training.options import TrainingOptions
from training.sage.process_group import ProcessGroup

pytestmark = pytest.mark.slow

LINKS = "https://shop.example/p/{item_id}"
SMALL = {"sage": {"dim": 8, "max_steps": 40, "evaluate_every": 10, "learning_rate": 0.02}}


@pytest.fixture
def shop(tmp_path: Path) -> dict[str, str]:
    """Settings of a shop with a snapshot and no model."""
    with shop_on_disk(tmp_path / "state", days=12) as (graph, engine, now):
        build_snapshot(engine, graph.snapshots_dir, as_of=now, created_at=now, featurize=featurize)
    file = tmp_path / "small.json"
    save_config(file, SMALL)
    return {"STATE_DIR": str(tmp_path / "state"), "TRAINING_CONFIG": str(file)}


def test_from_two_processes_to_an_encoder_and_lists(shop: dict[str, str], tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["-m", "sagestream", "train-distributed", "--out", str(tmp_path / "two"), "--json"]
    done = subprocess.run(
        [*launcher, *words],
        env={**os.environ, **environment(shop), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert (told["model_version"], told["processes"]) == ("two", 2)
    assert told["metrics"]["ndcg@20"] > 0.5
    bundle = ("--bundle", str(tmp_path / "two"))

    out = tmp_path / "encoder"
    exported = run("export", "--format", "torchscript", "--out", str(out), "--json", *bundle, settings=shop)
    assert (exported.code, exported.error) == (0, None)
    (file,) = exported.json["files"]
    assert file["largest_difference"] < 1e-5
    assert (out / file["file"]).stat().st_size == file["bytes"]
    plain = run("export", "--format", "pyg", "--out", str(tmp_path / "pyg"), "--json", *bundle, settings=shop)
    assert (plain.code, plain.error) == (0, None)
    assert [file["file"] for file in plain.json["files"]] == ["encoder_pyg.py", "encoder_pyg.pt", "graph.pt"]
    assert all((tmp_path / "pyg" / file["file"]).stat().st_size == file["bytes"] for file in plain.json["files"])
    again = run("export", "--out", str(out), *bundle, settings=shop)
    assert (again.code, type(again.error).__name__) == (1, "AlreadyExists")

    lists = tmp_path / "lists.jsonl"
    scored = run("score", "--out", str(lists), "--k", "4", "--block-users", "16", "--json", *bundle, settings=shop)
    assert (scored.code, scored.error) == (0, None)
    assert scored.json["users"] == 40
    rows = [json.loads(line) for line in lists.read_text().splitlines()]
    own = [row["item_ids"][0] in {f"i{item}" for item in favourites(int(row["user_id"][1:]))} for row in rows]
    assert sum(own) > 30


@needs_ray
def test_two_workers_of_a_ray_write_the_bundle_of_one_process(shop: dict[str, str], tmp_path: Path) -> None:
    words = ("train-distributed", "--engine", "ray", "--workers", "2", "--out", str(tmp_path / "two"), "--json")
    done = pipe(b"", *words, settings=shop)
    assert done.code == 0, done.err
    assert (done.json["model_version"], done.json["processes"]) == ("two", 2)
    assert [worker["tasks"] for worker in done.json["workers"]] == [1, 1]
    assert f"{LOOPBACK}: peak memory" in done.err
    (path,) = (tmp_path / "state" / "snapshots").iterdir()
    config = load_config(Path(shop["TRAINING_CONFIG"]), base=TrainingConfig())
    options, group = TrainingOptions(seed=0), ProcessGroup()
    alone, measures = fit_sage_model(
        load_snapshot(path), model_version="one", config=config, options=options, group=group
    )
    assert done.json["metrics"] == pytest.approx(measures, abs=1e-5)
    (one,), (two,) = alone.terms, load_bundle(tmp_path / "two").terms
    torch.testing.assert_close(two.state()["embeddings"], one.state()["embeddings"], atol=1e-5, rtol=0)


def test_without_its_snapshot_a_model_has_no_graph_to_export(
    shop: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for, it is an error; among all formats it is left out, and that is said."""
    (path,) = (tmp_path / "state" / "snapshots").iterdir()
    config = TrainingConfig(sage=SageConfig(dim=8, max_steps=5))
    model, _ = fit_sage_model(
        load_snapshot(path), model_version="m1", config=config, options=TrainingOptions(seed=0), group=ProcessGroup()
    )
    bundle = save_bundle(model, tmp_path, snapshot_id=path.name, parent=None, metrics={}, config={})
    for name in ("torch-export", "onnx"):
        monkeypatch.delitem(FORMATS, name)
    words = ("export", "--json", "--bundle", str(bundle))
    whole = run(*words, "--out", str(tmp_path / "whole"), settings=shop)
    assert [file["format"] for file in whole.json["files"]] == ["torchscript", "pyg", "pyg", "pyg"]
    shutil.rmtree(path)
    asked = run(*words, "--format", "pyg", "--out", str(tmp_path / "asked"), settings=shop)
    assert (asked.code, type(asked.error).__name__) == (1, "ExportError")
    assert "the snapshot that m1 was made of" in str(asked.error)
    rest = run(*words, "--out", str(tmp_path / "rest"), settings=shop)
    assert [file["format"] for file in rest.json["files"]] == ["torchscript"]
    assert "pyg is left out" in rest.err


def test_what_cannot_be_done_is_told(shop: dict[str, str], tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    for words, error in (
        (("export", "--out", out), "NoChampion"),
        (("export", "m0", "--out", out), "UnknownModel"),
        (("export", "--out", out, "--bundle", str(tmp_path)), "BundleError"),
        (("score", "--out", f"{out}.jsonl"), "NoChampion"),
        (("train-distributed", "--out", out), "ProcessGroupError"),
        (("train-distributed", "--out", str(tmp_path)), "AlreadyExists"),
        (("train-distributed", "--out", out, "--snapshot", str(tmp_path)), "NoSnapshot"),
    ):
        done = run(*words, settings=shop)
        assert (done.code, type(done.error).__name__) == (1, error), words
    for words in (
        ("score", "--out", f"{out}.csv"),
        ("score",),
        ("score", "--out", f"{out}.jsonl", "--k", "0"),
        ("score", "--out", f"{out}.jsonl", "--direct"),
        ("score", "--out", f"{out}.jsonl", "--part", "0/8"),
        ("score", "--out", f"{out}.jsonl", "--part", "9/8"),
        ("score", "--out", f"{out}.jsonl", "--part", "a/b"),
        ("score", "--out", f"{out}.jsonl", "--links", "https://shop.example/"),
        ("score", "--out", f"{out}.jsonl", "--links", LINKS, "--k", "101"),
        ("score", "--out", f"{out}.jsonl", "--links", LINKS, "--slot", ""),
        ("export", "--format", "tflite"),
        ("export", "m0", "--bundle", out),
        ("train-distributed", "--out", out, "--timeout-seconds", "0"),
        ("train-distributed", "--out", out, "--workers", "2"),
        ("train-distributed", "--out", out, "--engine", "ray", "--address", "ray://head:10001"),
    ):
        assert run(*words, settings=shop).code == 2, words
    assert {path.name for path in tmp_path.iterdir()} == {"state", "small.json"}


def test_onnx_needs_an_extra_that_is_named(
    shop: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name))
    done = run("export", "--out", str(tmp_path / "out"), settings=shop)
    assert (done.code, type(done.error).__name__) == (1, "MissingExtra")
    assert str(done.error) == 'onnxruntime is not installed: pip install ".[export]"'
    without = run("export", "--format", "torchscript", "--out", str(tmp_path / "out"), settings=shop)
    assert "no champion" in str(without.error)  # nothing to install is asked for


def test_a_snapshot_is_a_name_or_a_directory(shop: dict[str, str], tmp_path: Path) -> None:
    (kept,) = (tmp_path / "state" / "snapshots").iterdir()
    graph = GraphstoreConfig(state_dir=tmp_path / "state")
    assert snapshot_directory(graph, None) == snapshot_directory(graph, kept.name) == kept
    elsewhere = tmp_path / "copy"
    shutil.copytree(kept, elsewhere)
    assert snapshot_directory(graph, str(elsewhere)) == elsewhere
    for named in (kept.name, str(elsewhere)):
        told = run("graph", "report", named, "--json", settings=shop)
        assert (told.code, told.error) == (0, None)
        assert told.json["users"] == 40
    for words in (("graph", "report", "s1-1"), ("tune", "--snapshot", "s1-1")):
        assert "no snapshot" in str(run(*words, settings=shop).error), words


def test_a_model_without_graphsage_has_no_encoder(
    shop: dict[str, str], tmp_path: Path, redis: Redis, redis_url: str
) -> None:
    graph = GraphstoreConfig(state_dir=tmp_path / "state")
    engine = open_engine(graph.sqlalchemy_url)
    with write(engine) as connection:
        now = closing_time(connection)
    run_training(
        engine,
        RunSpec("closed_form", "test"),
        graph=graph,
        config=TrainingConfig(),
        now=lambda: now,
        options=TrainingOptions(seed=0),
    )
    engine.dispose()
    done = run("export", "--out", str(tmp_path / "out"), settings=shop)
    assert (done.code, type(done.error).__name__) == (1, "ExportError")
    assert "no GraphSAGE" in str(done.error)
    assert not (tmp_path / "out").exists()
    scored = run("score", "--out", str(tmp_path / "out.parquet"), settings=shop)
    assert (scored.code, scored.error) == (0, None)
    assert "40 shoppers" in scored.out
    (kept,) = (tmp_path / "state" / "snapshots").glob("s*")
    words = ("score", "--out", str(tmp_path / "few.jsonl"), "--snapshot", kept.name, "--block-users", "7")
    few = run(*words, settings={**shop, "LIST_LENGTH": "3"})
    assert (few.code, few.error) == (0, None)
    lists = [json.loads(line)["item_ids"] for line in (tmp_path / "few.jsonl").read_text().splitlines()]
    assert {len(items) for items in lists} == {3}  # as many as are published

    words = ("score", "--snapshot", kept.name, "--block-users", "7", "--json")
    whole = run(*words, "--out", str(tmp_path / "whole.jsonl"), settings=shop)
    assert "part" not in whole.json
    pieces = b""
    for number, users in ((1, 14), (2, 14), (3, 12)):
        piece = tmp_path / f"piece-{number}.jsonl"
        told = run(*words, "--part", f"{number}/3", "--out", str(piece), settings=shop).json
        assert (told["part"], told["part_users"], told["users"]) == (f"{number}/3", users, users)
        assert told["snapshot_users"] == 40
        pieces += piece.read_bytes()
    assert pieces == (tmp_path / "whole.jsonl").read_bytes()
    wrong = run(*words, "--part", "9/8", "--out", str(tmp_path / "no.jsonl"), settings=shop)
    assert (wrong.code, "--part" in wrong.err, "there is no part 9 of 8" in wrong.err) == (2, True, True)

    (tmp_path / "subscribers.txt").write_text("u1\nu2\nnobody\n\n")
    mail = ("score", "--out", str(tmp_path / "mail.jsonl"), "--users", str(tmp_path / "subscribers.txt"), "--k", "2")
    unsigned = run(*mail, "--links", LINKS, "--direct", settings=shop | {"REDIS_URL": redis_url})
    assert type(unsigned.error).__name__ == "NoSecret" and not (tmp_path / "mail.jsonl").exists()
    signed = shop | {"REDIS_URL": redis_url, "SECRET_KEY": "a secret"}
    linked = run(*mail, "--links", LINKS, "--direct", "--json", settings=signed)
    assert (linked.code, linked.error) == (0, None)
    assert (linked.json["users"], linked.json["unknown_users"], linked.json["slot"]) == (2, 1, "email")
    few = (*mail[:2], str(tmp_path / "half.jsonl"), *mail[3:], "--block-users", "7", "--part", "2/2", "--json")
    halved = run(*few, settings=shop)
    assert (halved.json["unknown_users"], halved.json["part_users"]) == (1, 19)
    lines = [json.loads(line) for line in (tmp_path / "mail.jsonl").read_text().splitlines()]
    assert {line["user_id"] for line in lines} == {"u1", "u2"}
    engine = open_engine(graph.sqlalchemy_url)
    with read(engine) as connection:
        logged = connection.execute(select(impressions).order_by(impressions.c.position)).all()
    engine.dispose()
    for line in lines:
        places = [landing(link) for link in line["links"]]
        assert [(place.item_id, place.position) for place in places if place] == list(
            zip(line["item_ids"], (0, 1), strict=True)
        )
        assert [row.item_id for row in logged if row.request_id == line["request_id"]] == line["item_ids"]
    assert {row.slot for row in logged} == {"email"} and len(logged) == 4
