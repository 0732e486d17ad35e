"""The code of the pages, run."""

from pathlib import Path

import pytest
from sqlalchemy import Engine
from torch_geometric.data import HeteroData

from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import write
from graphstore.snapshots.snapshot import build_snapshot
from tests.docs.pages import page, pages


def test_a_snapshot_becomes_a_graph_as_its_page_says(
    sqlite_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [InteractionRow(f"e{n}", 3, f"u{n % 3}", f"i{n % 4}", 100 + n) for n in range(20)]
    with write(sqlite_engine) as connection:
        ingest_interactions(connection, rows, now=1)
    snapshot = build_snapshot(sqlite_engine, tmp_path / "snapshots", as_of=1000, created_at=1)
    monkeypatch.chdir(snapshot.path)

    load, use = [block.text for block in page("docs/snapshots.md").blocks if block.language == "python"]
    assert len(load.strip().splitlines()) == 3
    names: dict[str, object] = {}
    exec(load + use, names)

    graph, edges = names["graph"], names["train_edges"]
    assert isinstance(graph, HeteroData) and graph.validate()
    assert graph.node_types == ["user", "item"] and graph.edge_types == [("user", "interacts", "item")]
    assert (graph["user"].num_nodes, graph["item"].num_nodes, graph.num_edges) == (3, 4, 20)
    assert edges.shape == (2, 16)  # type: ignore[attr-defined]


def test_the_page_lists_what_the_graph_and_its_directory_hold(sqlite_engine: Engine, tmp_path: Path) -> None:
    with write(sqlite_engine) as connection:
        ingest_interactions(connection, [InteractionRow("a", 3, "u1", "i1", 100)], now=1)
    snapshot = build_snapshot(sqlite_engine, tmp_path / "snapshots", as_of=1000, created_at=1)
    text = page("docs/snapshots.md").text
    for store in snapshot.stores.values():
        for name in store:
            assert name == "num_nodes" or f"`{name}`" in text, name
    for file in snapshot.path.iterdir():
        assert f"`{file.name}`" in text, file.name
    assert snapshot.graph["user"].x.shape[1] == 39 and "[num_users, 39]" in text
    assert snapshot.graph["item"].stats.shape[1] == 6 and "[num_items, 6]" in text


def test_no_other_page_has_code_that_nobody_runs() -> None:
    assert {one.name for one in pages() if any(block.language == "python" for block in one.blocks)} == {
        "docs/snapshots.md",
        "docs/shop-developers.md",  # tests/docs/test_shop_developers.py
        "docs/api.md",  # tests/serving/web/data/test_documented.py
        "docs/operations.md",  # tests/monitoring/alarms/test_webhook.py
    }
