"""Snapshots: the same pair gives the same files, time cuts where it should, and a late event makes a new one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sqlalchemy import Engine, select

from graphstore.catalogue import Catalogue
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.report import get_graph_report, print_graph_report
from graphstore.session import write
from graphstore.snapshot import Snapshot, build_snapshot, digest, load_snapshot, time_masks
from graphstore.tables import snapshots
from graphstore.upserts import ItemRow, upsert_items

ROWS = [
    InteractionRow("a", 3, "u1", "i1", 100),
    InteractionRow("b", 0, "u1", "i2", 200),
    InteractionRow("c", 4, "u2", "i1", 300, value=2.0),
    InteractionRow("d", 3, "u2", "i3", 400),
]


def fill(engine: Engine, rows: list[InteractionRow] = ROWS) -> None:
    with write(engine) as connection:
        upsert_items(connection, [ItemRow("i2", "Tea", ["Drinks"], "B", 2.5, True, updated_at=50)])
        upsert_items(connection, [ItemRow("i9", "Never bought", [], "", None, True, updated_at=60)])
        ingest_interactions(connection, rows, now=1)


def build(engine: Engine, directory: Path, as_of: int, created_at: int = 1) -> Snapshot:
    def featurize(catalogue: Catalogue) -> torch.Tensor:
        return torch.tensor([float(len(title)) for title in catalogue.titles]).reshape(-1, 1)

    return build_snapshot(engine, directory, as_of=as_of, created_at=created_at, featurize=featurize)


def test_only_events_before_the_time_are_in(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    snapshot = build(engine, tmp_path, as_of=300)
    events = snapshot.events
    pairs = [(snapshot.user_ids[u], snapshot.item_ids[i]) for u, i in events.edge_index.T.tolist()]
    assert pairs == [("u1", "i1"), ("u1", "i2")]
    assert events.edge_time.tolist() == [100, 200]
    assert events.edge_type_code.tolist() == [3, 0]
    assert snapshot.user_ids == ["u1"]
    assert set(snapshot.item_ids) == {"i1", "i2", "i9"}


def test_ratings_are_labels_and_other_events_their_weight(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    events = build(engine, tmp_path, as_of=1000).events
    assert events.y.tolist() == [4.0, 1.0, 2.0, 4.0]
    assert events.edge_weight.tolist() == [4.0, 1.0, 4.0, 4.0]


def test_the_catalogue_and_its_features_follow_the_item_order(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    snapshot = build(engine, tmp_path, as_of=1000)
    row = snapshot.item_ids.index("i2")
    assert (snapshot.catalogue.titles[row], snapshot.catalogue.categories[row]) == ("Tea", ["Drinks"])
    assert snapshot.graph["item"].x[row].tolist() == [3.0]
    assert np.isnan(snapshot.catalogue.prices[snapshot.item_ids.index("i1")])


def test_the_same_pair_gives_the_same_files(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    first = build(engine, tmp_path, as_of=350)
    mark = digest(first.path)
    shutil.rmtree(first.path)
    assert digest(build(engine, tmp_path, as_of=350, created_at=99).path) == mark
    with write(engine) as connection:
        assert connection.scalar(select(snapshots.c.created_at)) == 1


def test_a_late_event_makes_a_new_snapshot(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    first = build(engine, tmp_path, as_of=350)
    mark = digest(first.path)
    with write(engine) as connection:
        ingest_interactions(connection, [InteractionRow("late", 3, "u1", "i3", 150)], now=2)
    second = build(engine, tmp_path, as_of=350)
    assert (first.num_events, second.num_events) == (3, 4)
    assert second.snapshot_id != first.snapshot_id
    assert digest(first.path) == mark


def test_an_event_after_the_time_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    first = build(engine, tmp_path, as_of=350)
    with write(engine) as connection:
        ingest_interactions(connection, [InteractionRow("later", 3, "u1", "i3", 360)], now=2)
    assert build(engine, tmp_path, as_of=350).snapshot_id == first.snapshot_id


def test_what_is_saved_can_be_loaded(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    made = build(engine, tmp_path, as_of=1000)
    loaded = load_snapshot(made.path)
    assert loaded.item_ids == made.item_ids
    assert torch.equal(loaded.events.edge_index, made.events.edge_index)
    assert {path.name for path in made.path.iterdir()} >= {
        "processed_graph.pt",
        "edge_index.pt",
        "features.pt",
        "labels.pt",
        "mappings.json",
        "report.json",
    }
    with pytest.raises(FileNotFoundError, match="no snapshot"):
        load_snapshot(tmp_path / "nothing")


def test_an_empty_graph_is_a_snapshot_too(engine: Engine, tmp_path: Path) -> None:
    snapshot = build(engine, tmp_path, as_of=1000)
    assert (snapshot.num_users, snapshot.num_items, snapshot.num_events) == (0, 0, 0)
    assert get_graph_report(snapshot)["density"] == 0.0


def test_masks_follow_time_and_never_cut_an_instant() -> None:
    times = torch.tensor([1, 2, 3, 4, 5, 6, 7, 8, 8, 9])
    train, validation, test = time_masks(times, 0.2, 0.2)
    assert train.tolist() == [True] * 6 + [False] * 4
    assert validation.tolist() == [False] * 6 + [True] + [False] * 3
    assert test.tolist() == [False] * 7 + [True] * 3


def test_the_report_counts_what_is_there(engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(engine, [*ROWS, InteractionRow("again", 3, "u1", "i1", 450)])
    snapshot = build(engine, tmp_path, as_of=1000)
    report = get_graph_report(snapshot)
    assert (report["users"], report["items"], report["interactions"], report["edges"]) == (2, 4, 5, 4)
    assert report["density"] == 0.5
    assert report["isolated"] == {"user": 0, "item": 1}
    assert report["time_range"] == [100, 450]
    assert sum(report["masks"].values()) == 5
    assert json.loads(get_graph_report(snapshot, render_as="json")) == report
    assert json.loads((snapshot.path / "report.json").read_text()) == report
    print_graph_report(snapshot)
    assert "density" in capsys.readouterr().out
