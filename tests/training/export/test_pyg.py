"""The files for PyTorch Geometric give the model's item embeddings where none of this code can be imported."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import Engine
from torch_geometric.data import HeteroData

from graphstore.session import write
from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.snapshot import build_snapshot
from tests.training.toy_shop import closing_time, open_shop
from training.config import SageConfig, TrainingConfig
from training.export import pyg
from training.export.encoder import ExportError, export_encoder, without_pyg
from training.export.encoder_pyg import TO_ITEMS, TO_USERS, load_encoder, load_graph
from training.export.pyg import FILES, ItemGraph
from training.features.snapshot_features import featurize
from training.models.recommender import Recommender
from training.models.sage_only import fit_sage_model
from training.options import TrainingOptions
from training.sage.process_group import ProcessGroup
from training.sage.term import SageTerm
from training.terms.protocol import find_term

ALONE = """
import runpy, sys

class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("graphstore", "stream", "training", "serving", "monitoring", "sagestream"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Barred())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script as on a machine that has PyTorch Geometric and nothing of ours."""


def run_alone(*arguments: str, directory: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-I", "-c", ALONE, *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def snapshot(sqlite_engine: Engine, tmp_path: Path) -> Snapshot:
    with write(sqlite_engine) as connection:
        open_shop(connection, days=12)
        now = closing_time(connection)
    return build_snapshot(sqlite_engine, tmp_path / "snapshots", as_of=now, created_at=now, featurize=featurize)


def model_of(snapshot: Snapshot, **settings: Any) -> Recommender:
    """It stands at the cut before the validation window: the snapshot has later events, which it does not know."""
    small = {"dim": 8, "max_steps": 20, "evaluate_every": 10, "learning_rate": 0.02}
    sage = SageConfig.model_validate({**small, **settings})
    config, options = TrainingConfig(sage=sage), TrainingOptions(seed=0)
    return fit_sage_model(snapshot, model_version="m1", config=config, options=options, group=ProcessGroup())[0]


def sage_of(model: Recommender) -> SageTerm:
    term = find_term(model.terms, SageTerm)
    assert term is not None
    return term


@pytest.mark.parametrize(("aggregation", "layers"), [("mean", 2), ("max", 1)])
def test_embeddings_are_the_models_where_nothing_of_ours_is(
    snapshot: Snapshot, tmp_path: Path, aggregation: str, layers: int
) -> None:
    model = model_of(snapshot, aggregation=aggregation, layers=layers)
    files = export_encoder(model, tmp_path / "out", formats=["pyg"], snapshot=snapshot)
    assert tuple(file.file for file in files) == FILES
    assert all(file.largest_difference < 1e-5 for file in files)
    found = tmp_path / "embeddings.pt"
    done = run_alone(str(tmp_path / "out" / "encoder_pyg.py"), "--out", str(found), directory=tmp_path)
    assert (done.returncode, done.stdout) == (0, "24 items, 8 dimensions\n"), done.stderr[-2000:]
    served = sage_of(model).state()["embeddings"]
    assert served.std() > 0.01
    torch.testing.assert_close(torch.load(found, weights_only=True), served, atol=1e-5, rtol=1e-5)

    told = json.loads((tmp_path / "out" / "metadata.json").read_text())["pyg"]
    assert told["snapshot_id"] == snapshot.snapshot_id
    assert told["difference_as_served"] < 1e-5
    assert told["pairs"] < snapshot.num_events


def test_alone_means_alone(tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    (tmp_path / "script.py").write_text("import training")
    done = run_alone(str(tmp_path / "script.py"), directory=tmp_path)
    assert done.returncode == 1
    assert "training is not installed here" in done.stderr


def test_the_graph_has_each_pair_that_the_model_knows_once_both_ways(snapshot: Snapshot, tmp_path: Path) -> None:
    model = model_of(snapshot)
    export_encoder(model, tmp_path / "out", formats=["pyg"], snapshot=snapshot)
    data = load_graph(tmp_path / "out" / "graph.pt")
    known = snapshot.events.edge_time < model.as_of
    pairs = snapshot.events.edge_index[:, known].unique(dim=1)
    assert torch.equal(data[TO_ITEMS].edge_index, pairs)
    assert torch.equal(data[TO_USERS].edge_index, pairs.flip(0))
    assert data["item"].x.shape[0] == model.num_items
    assert data["user"].num_nodes == snapshot.num_users
    assert data.validate()


def test_a_batch_of_a_loader_goes_in_like_the_whole_graph(snapshot: Snapshot, tmp_path: Path) -> None:
    """Items in another order, named by their rows, as loaders name them."""
    export_encoder(model_of(snapshot), tmp_path / "out", formats=["pyg"], snapshot=snapshot)
    encoder, data = load_encoder(tmp_path / "out" / "encoder_pyg.pt"), load_graph(tmp_path / "out" / "graph.pt")
    rows = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    users, items = data[TO_ITEMS].edge_index
    place = torch.empty_like(rows)
    place[rows] = torch.arange(24)
    batch = HeteroData()
    batch["item"].x, batch["item"].n_id = data["item"].x[rows], rows
    batch["user"].num_nodes = data["user"].num_nodes
    batch[TO_ITEMS].edge_index = torch.stack([users, place[items]])
    batch[TO_USERS].edge_index = torch.stack([place[items], users])
    torch.testing.assert_close(encoder(batch), encoder(data)[rows], atol=1e-6, rtol=1e-5)


def test_weights_that_differ_are_an_error_and_leave_nothing(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, write_pyg = model_of(snapshot), pyg.write_pyg

    def write_slightly_wrong(term: SageTerm, items: ItemGraph, directory: Path) -> None:
        write_pyg(term, items, directory)
        saved = torch.load(directory / "encoder_pyg.pt", weights_only=True)
        saved["state_dict"]["to_items.0.lin_l.bias"] += 0.1
        torch.save(saved, directory / "encoder_pyg.pt")

    monkeypatch.setattr(pyg, "write_pyg", write_slightly_wrong)
    with pytest.raises(ExportError, match="differs from model m1"):
        export_encoder(model, tmp_path / "out", formats=["pyg"], snapshot=snapshot)
    assert not (tmp_path / "out").exists()


def test_an_lstm_has_no_layer_of_theirs(snapshot: Snapshot) -> None:
    model = model_of(snapshot, aggregation="lstm", max_steps=2)
    assert "does the same with lstm" in (without_pyg(model, snapshot) or "")
    assert without_pyg(model_of(snapshot, max_steps=2), snapshot) is None
