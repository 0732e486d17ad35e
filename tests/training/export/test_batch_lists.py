"""Everybody's lists are those that the model makes one by one, whatever the block, in both kinds of file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import concat_tables, parquet
from sqlalchemy import Engine

from graphstore.config import GraphstoreConfig
from graphstore.errors import AlreadyExists
from graphstore.session import write
from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.snapshot import build_snapshot
from tests.training.toy_shop import closing_time, favourites, open_shop, trade
from training.config import TrainingConfig
from training.data.event_log import EventLog, Histories
from training.export.batch_lists import only, recommend_all, write_lists
from training.export.block_lists import Lists, rows_of_part
from training.export.parts import WHOLE, Part
from training.features.snapshot_features import featurize
from training.lifecycle.run import RunSpec, run_training
from training.models.bundle import load_bundle
from training.models.recommender import Recommender
from training.options import TrainingOptions


@pytest.fixture
def shop(sqlite_engine: Engine, tmp_path: Path) -> tuple[Recommender, Snapshot]:
    """A model of twelve days and a snapshot of fourteen."""
    graph = GraphstoreConfig(state_dir=tmp_path)
    with write(sqlite_engine) as connection:
        open_shop(connection, days=12)
        now = closing_time(connection)
    config = TrainingConfig()
    result = run_training(
        sqlite_engine,
        RunSpec("closed_form", "test"),
        graph=graph,
        config=config,
        now=lambda: now,
        options=TrainingOptions(seed=0),
    )
    with write(sqlite_engine) as connection:
        trade(connection, first_day=12, days=2)
        later = closing_time(connection)
    snapshot = build_snapshot(sqlite_engine, graph.snapshots_dir, as_of=later, created_at=later, featurize=featurize)
    return load_bundle(Path(result.bundle)), snapshot


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return rows
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_lists_do_not_depend_on_block_or_file(shop: tuple[Recommender, Snapshot], tmp_path: Path) -> None:
    model, snapshot = shop
    found = []
    for name, block_users in (("a.jsonl", 40), ("b.jsonl", 7), ("c.parquet", 7)):
        path, seen = tmp_path / name, []
        lists = recommend_all(model, snapshot, k=6, history_limit=500, block_users=block_users)
        users = write_lists(lists, path, total=40, progress=lambda line, share, seen=seen: seen.append(share))
        assert users == 40
        assert len(seen) == -(-40 // block_users)
        assert seen[-1] == 1.0
        found.append(read(path))
    assert [row["user_id"] for row in found[0]] == snapshot.user_ids
    for rows in found[1:]:
        for one, other in zip(found[0], rows, strict=True):
            assert one["user_id"] == other["user_id"]
            assert one["item_ids"] == other["item_ids"]
            assert one["scores"] == pytest.approx(other["scores"], abs=1e-5)
    assert model.repeats
    hits = [
        len({f"i{item}" for item in favourites(int(row["user_id"][1:]))} & set(row["item_ids"][:4])) for row in found[0]
    ]
    assert np.mean(hits) > 3.5  # of four favourites
    assert not list(tmp_path.glob(".*parquet*"))
    assert parquet.ParquetFile(tmp_path / "c.parquet").num_row_groups == 6


@pytest.mark.parametrize("count", [1, 3, 8, 50])
def test_the_files_of_the_parts_are_the_file_of_one_run(
    shop: tuple[Recommender, Snapshot], tmp_path: Path, count: int
) -> None:
    """Byte for byte in JSON lines; in Parquet row group for row group. With 50 parts of 6 blocks, 44 are empty."""
    model, snapshot = shop
    for suffix in (".jsonl", ".parquet"):
        parts, whole = [tmp_path / f"{number}{suffix}" for number in range(1, count + 1)], tmp_path / f"whole{suffix}"
        for path, part in [
            *((path, Part(number, count)) for number, path in enumerate(parts, 1)),
            (whole, WHOLE),
        ]:
            lists = recommend_all(model, snapshot, k=6, history_limit=500, block_users=7, part=part)
            users = write_lists(lists, path, total=40)
            assert users == len(rows_of_part(part, 40, 7))
        if suffix == ".jsonl":
            assert b"".join(path.read_bytes() for path in parts) == whole.read_bytes()
        else:
            assert concat_tables(map(parquet.read_table, parts)).equals(parquet.read_table(whole))
            assert sum(parquet.ParquetFile(path).num_row_groups for path in parts) == 6


def test_items_that_the_model_does_not_know_are_no_part_of_a_history(shop: tuple[Recommender, Snapshot]) -> None:
    model, snapshot = shop
    whole = list(recommend_all(model, snapshot, k=3, history_limit=500, block_users=100))
    unknown = snapshot.item_keys.copy()
    unknown[0] = 10_000  # an item that came after the model
    other = replace(snapshot, item_keys=unknown)
    fewer = list(recommend_all(model, other, k=3, history_limit=500, block_users=100))
    had = np.unique(snapshot.events.edge_index[0][snapshot.events.edge_index[1] == 0].numpy())
    differs = [user for user in range(40) if fewer[0].scores[user] != whole[0].scores[user]]
    assert set(had) & set(differs)


def test_histories_are_those_of_the_log_a_block_at_a_time(
    shop: tuple[Recommender, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, snapshot = shop
    whole = EventLog.from_snapshot(snapshot).histories(np.arange(40), last=5)
    made = []
    begin = Histories.__init__
    monkeypatch.setattr(
        Histories, "__init__", lambda self, offsets, **rest: made.append(offsets) or begin(self, offsets, **rest)
    )
    given = []
    recommend = model.recommend
    monkeypatch.setattr(model, "recommend", lambda block, **how: given.append(block) or recommend(block, **how))
    list(recommend_all(model, snapshot, k=3, history_limit=5, block_users=16))
    assert max(len(offsets) - 1 for offsets in made) == 16
    assert np.concatenate([block.times for block in given]).tolist() == whole.times.tolist()
    assert np.concatenate([block.types for block in given]).tolist() == whole.types.tolist()
    rows = model.rows_of(snapshot.item_keys)[whole.items]
    assert np.concatenate([block.items for block in given]).tolist() == rows.tolist()
    assert np.concatenate([np.diff(block.offsets) for block in given]).tolist() == np.diff(whole.offsets).tolist()


def test_what_the_snapshot_knows_to_be_sold_out_is_not_listed(shop: tuple[Recommender, Snapshot]) -> None:
    model, snapshot = shop

    def listed(now: Snapshot) -> set[str]:
        (block,) = recommend_all(model, now, k=4, history_limit=500, block_users=100)
        return {item for own in block.item_ids for item in own}

    gone = snapshot.item_ids.index("i3")
    assert "i3" in listed(snapshot)
    catalogue = replace(snapshot.catalogue, available=np.arange(len(snapshot.item_ids)) != gone)
    assert "i3" not in listed(replace(snapshot, catalogue=catalogue))
    assert "i3" in listed(snapshot)  # the model itself is left as it was


def test_a_file_is_whole_or_not_there(shop: tuple[Recommender, Snapshot], tmp_path: Path) -> None:
    model, snapshot = shop
    out = tmp_path / "out.jsonl"

    def stop(line: str, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_lists(recommend_all(model, snapshot, k=3, history_limit=500, block_users=5), out, total=40, progress=stop)
    assert not list(tmp_path.glob("*out.jsonl*"))
    with pytest.raises(ValueError, match=r"\.csv is no format"):
        write_lists([], tmp_path / "out.csv", total=0)
    out.write_text("mine")
    with pytest.raises(AlreadyExists):
        write_lists([], out, total=0)
    assert out.read_text() == "mine"


LINKED = Lists(["ann", "bob"], [["a", "b"], []], [[2.0, 1.0], []], ["r1", "r2"], [["https://x/a", "https://x/b"], []])


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_lists_with_links_have_them_in_their_file(tmp_path: Path, name: str) -> None:
    assert write_lists([LINKED], tmp_path / name, total=2, linked=True) == 2
    first, second = read(tmp_path / name)
    assert first == {
        "user_id": "ann", "item_ids": ["a", "b"], "scores": [2.0, 1.0],
        "request_id": "r1", "links": ["https://x/a", "https://x/b"],
    }  # fmt: skip
    assert (second["request_id"], second["links"]) == ("r2", [])


def test_only_the_lists_of_some_users_are_kept() -> None:
    (kept,) = only([Lists(["ann", "bob"], [["a"], ["b"]], [[2.0], [1.0]])], {"bob", "zoe"})
    assert kept == Lists(["bob"], [["b"]], [[1.0]])


def test_only_a_block_of_shoppers_is_scored_at_a_time(
    shop: tuple[Recommender, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, snapshot = shop
    sizes = []
    recommend = model.recommend
    monkeypatch.setattr(
        model, "recommend", lambda histories, **how: sizes.append(len(histories)) or recommend(histories, **how)
    )
    blocks = recommend_all(model, snapshot, k=3, history_limit=500, block_users=16)
    assert len(next(blocks).user_ids) == 16
    assert sizes == [16]  # the rest has not been scored yet
    assert [len(block.user_ids) for block in blocks] == [16, 8]
