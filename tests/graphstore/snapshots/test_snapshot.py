"""Snapshots: the same pair gives the same files, time cuts where it should, and a late event makes a new one."""

import errno
import json
import random
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import Connection, Engine, insert, select

from graphstore.arrays import IntArray
from graphstore.catalogue import Catalogue
from graphstore.erase import erase_person
from graphstore.identities import IdentityRow, ingest_identities
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.item_fields import ItemRow
from graphstore.session import open_engine, write
from graphstore.snapshots.eventlog import Events, Seen, seen_by
from graphstore.snapshots.files import NoSnapshot, Snapshot, digest, load_events, load_snapshot, place
from graphstore.snapshots.graph import INTERACTS, features_of, time_masks
from graphstore.snapshots.readers import read_events
from graphstore.snapshots.report import get_graph_report, print_graph_report
from graphstore.snapshots.rewrite import erase_users
from graphstore.snapshots.snapshot import BeforeCompaction, build_snapshot, open_snapshot
from graphstore.snapshots.statistics import ITEM_COLUMNS, PROFILE_DIM, USER_COLUMNS, StatisticsEncoder, training_end
from graphstore.state import raise_to
from graphstore.tables import COMPACTION_HORIZON, erasures, snapshots
from graphstore.upserts import upsert_items

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
    def featurize(catalogue: Catalogue, trained: IntArray) -> tuple[torch.Tensor, dict[str, Any]]:
        lengths = torch.tensor([float(len(title)) for title in catalogue.titles]).reshape(-1, 1)
        return lengths, {"trained": trained.tolist()}

    return build_snapshot(engine, directory, as_of=as_of, created_at=created_at, featurize=featurize)


@pytest.mark.parametrize("full_at", ["catalogue.json", "rename"])
def test_a_full_disk_leaves_no_part_of_a_snapshot(
    sqlite_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: str
) -> None:
    fill(sqlite_engine)
    write_text = Path.write_text

    def full(path: Path, *arguments: Any, **named: Any) -> int:
        if path.name == full_at:
            raise OSError(errno.ENOSPC, "no space left on device")
        return write_text(path, *arguments, **named)

    def stuck(path: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="no space"):
        patched.setattr(Path, "write_text", full)
        if full_at == "rename":
            patched.setattr(Path, "rename", stuck)
        build(sqlite_engine, tmp_path, as_of=300)
    assert list(tmp_path.rglob("*.json")) == []
    assert build(sqlite_engine, tmp_path, as_of=300).num_events == 2


def test_a_snapshot_that_cannot_be_replaced_stays(
    sqlite_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sqlite_engine)
    path = build(sqlite_engine, tmp_path, as_of=300).path
    rewritten = path.with_name(".rewritten")
    shutil.copytree(path, rewritten)
    rename = Path.rename

    def stuck(source: Path, target: Path) -> Path:
        if source == rewritten:
            raise OSError(errno.ENOSPC, "no space left on device")
        return rename(source, target)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="no space"):
        patched.setattr(Path, "rename", stuck)
        place(rewritten, path, replace=True)
    assert [one for one in path.parent.iterdir() if one.is_dir()] == [path]
    assert load_snapshot(path).num_events == 2


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


def test_item_features_are_fitted_on_what_the_training_window_knows(engine: Engine, tmp_path: Path) -> None:
    fill(engine, [InteractionRow(f"e{place}", 3, "u1", f"i{place % 9}", 100 + place) for place in range(20)])
    with write(engine) as connection:
        ingest_interactions(connection, [InteractionRow("last", 3, "u1", "late", 900)], now=1)
    snapshot = build(engine, tmp_path, as_of=1000)
    known = {snapshot.item_ids[row] for row in snapshot.encoders["item"]["trained"]}
    assert known == {f"i{place}" for place in range(9)}  # not "late", which only the test window has
    assert "late" in snapshot.item_ids


def test_the_statistics_are_those_of_the_training_window(engine: Engine, tmp_path: Path) -> None:
    rows = [
        InteractionRow(f"e{place}", place % 5, f"u{place % 4}", f"i{place % 3}", 100 + place) for place in range(40)
    ]
    fill(engine, rows)
    snapshot = build(engine, tmp_path, as_of=1000)
    user, item = snapshot.graph["user"].x, snapshot.graph["item"].stats
    assert user.shape == (4, len(USER_COLUMNS) + PROFILE_DIM)
    assert item.shape == (4, len(ITEM_COLUMNS))
    encoder = StatisticsEncoder.from_state(snapshot.encoders["statistics"])
    mask, end = snapshot.events.train_mask, training_end(snapshot.stores, as_of=1000)
    told = encoder.transform(snapshot.stores, mask, snapshot.catalogue.categories, as_of=end)
    assert torch.equal(told[0], user)
    assert torch.equal(told[1], item)
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
    features = torch.load(made.path / "features.pt", weights_only=True)
    graph = loaded.graph
    for name, kept in {"item.x": graph["item"].x, "item.stats": graph["item"].stats, "user.x": graph["user"].x}.items():
        assert torch.equal(features.pop(name), kept)
    assert not features
    with pytest.raises(NoSnapshot, match="no snapshot"):
        load_snapshot(tmp_path / "nothing")


def test_a_damaged_file_is_told_with_its_directory_and_what_to_do(sqlite_engine: Engine, tmp_path: Path) -> None:
    fill(sqlite_engine)
    snapshot = build(sqlite_engine, tmp_path, as_of=1000)
    files = {path: path.read_bytes() for path in snapshot.path.iterdir()}
    told = f"the snapshot {snapshot.path} is damaged"
    for path, whole in files.items():
        if path.name in ("edge_index.pt", "labels.pt", "features.pt", "report.json"):
            continue  # written for readers outside
        for damaged in (b"", whole[: len(whole) // 2], b"\xff" + whole[1:]):
            path.write_bytes(damaged)
            with pytest.raises(NoSnapshot, match=re.escape(told)):
                load_snapshot(snapshot.path)
                load_events(snapshot.path)
        path.write_bytes(whole)
    assert load_snapshot(snapshot.path).user_ids == snapshot.user_ids


def test_a_snapshot_of_an_older_form_can_be_read_and_forgets(engine: Engine, tmp_path: Path) -> None:
    """Before there were statistics: `item.x` alone, no `rated`, no encoders, features.pt a tensor."""
    fill(engine)
    path = build(engine, tmp_path, as_of=1000).path
    (path / "encoders.pt").unlink()
    stores = torch.load(path / "processed_graph.pt", weights_only=True)
    del stores["user"]["x"], stores["item"]["stats"], stores[INTERACTS]["rated"]
    torch.save(stores, path / "processed_graph.pt")
    torch.save(stores["item"]["x"], path / "features.pt")
    older = load_snapshot(path)
    assert older.encoders == {}
    assert older.graph["item"].x.tolist() == [[3.0], [12.0], [0.0], [0.0]]
    assert get_graph_report(older)["feature_widths"] == {"item": 1}
    erase_users(path, ["u1"])
    left = load_snapshot(path)
    assert left.user_ids == ["u2"]
    assert left.graph["user"].x.size(0) == 1
    assert torch.equal(left.graph["item"].x, older.graph["item"].x)


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
    widths = {"item": 1, "item.stats": len(ITEM_COLUMNS), "user": len(USER_COLUMNS) + PROFILE_DIM}
    assert report["feature_widths"] == widths
    assert report["time_range"] == [100, 450]
    assert sum(report["masks"].values()) == 5
    assert json.loads(get_graph_report(snapshot, render_as="json")) == report
    assert json.loads((snapshot.path / "report.json").read_text()) == report
    print_graph_report(snapshot)
    assert "density" in capsys.readouterr().out


def random_world(engine: Engine, rng: random.Random, count: int, prefix: str) -> None:
    rows = [
        InteractionRow(
            f"{prefix}{number}",
            rng.choices(range(7), weights=[5, 1, 1, 5, 1, 1, 1])[0],
            f"u{rng.randrange(6)}",
            f"i{rng.randrange(5)}",
            rng.randrange(1, 1000),
            value=rng.choice([None, 3.5]),
            quantity=rng.choice([None, 1, 4]),
        )
        for number in range(count)
    ]
    with write(engine) as connection:
        ingest_interactions(connection, rows, now=1)


@pytest.mark.parametrize("seed", range(4))
def test_a_snapshot_from_its_parent_is_the_one_from_scratch_bit_for_bit(
    engine: Engine, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    fill(engine)
    for step in range(4):
        random_world(engine, rng, 40, f"{step}-")
        if step == 1:
            with write(engine) as connection:
                ingest_identities(connection, [IdentityRow("u1", "u2", 400), IdentityRow("u4", "u0", 900)])
        for as_of in (rng.randrange(1, 1100), rng.randrange(1, 1100)):  # back and forth in time
            grown = build(engine, tmp_path / "grown", as_of=as_of)
            alone = build(engine, tmp_path / f"alone-{step}-{as_of}", as_of=as_of)
            assert grown.snapshot_id == alone.snapshot_id
            if step > 1 or as_of <= 400:  # logins have no history: what was built before them does not have them
                assert digest(grown.path) == digest(alone.path)


def test_only_new_rows_are_read(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(engine)
    build(engine, tmp_path, as_of=250)
    read_rows = []

    def counting(connection: Connection, seen: Seen, *, parent: Seen | None, readers: int) -> Events:
        events = read_events(connection, seen, parent=parent, readers=readers)
        read_rows.append(events["time"].tolist())
        return events

    monkeypatch.setattr("graphstore.snapshots.snapshot.read_events", counting)
    with write(engine) as connection:
        ingest_interactions(connection, [InteractionRow("late", 3, "u1", "i3", 150)], now=2)
    assert build(engine, tmp_path, as_of=350).num_events == 4
    assert read_rows == [[150, 300]]  # a late one, and the one between the two times


def test_what_was_taken_back_is_no_edge(engine: Engine, tmp_path: Path) -> None:
    bought = [InteractionRow("a", 3, "u1", "i1", 100, quantity=4), InteractionRow("b", 3, "u1", "i2", 110)]
    returned = [InteractionRow("c", 5, "u1", "i1", 200, quantity=1), InteractionRow("d", 6, "u1", "i2", 210)]
    fill(engine, bought + returned)
    assert build(engine, tmp_path, as_of=150).events.edge_weight.tolist() == [4.0, 4.0]  # it had not happened yet
    later = build(engine, tmp_path, as_of=300)
    assert later.events.edge_time.tolist() == [100]
    assert later.events.edge_weight.tolist() == later.events.y.tolist() == [3.0]


def test_sessions_belong_to_their_person_from_the_login_on(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    with write(engine) as connection:
        ingest_identities(connection, [IdentityRow("u1", "u2", 350)])
    assert build(engine, tmp_path, as_of=350).user_ids == ["u1", "u2"]
    later = build(engine, tmp_path, as_of=1000)
    assert later.user_ids == ["u2"]
    assert later.num_events == 4


def test_a_forgotten_user_leaves_the_snapshot_as_if_never_there(engine: Engine, tmp_path: Path) -> None:
    fill(engine, [*ROWS, InteractionRow("e", 3, "s1", "i1", 250), InteractionRow("f", 5, "s1", "i1", 260)])
    with write(engine) as connection:
        ingest_identities(connection, [IdentityRow("s1", "u1", 10)])
    snapshot = build(engine, tmp_path, as_of=1000)
    assert erase_users(snapshot.path, ["u1", "s1"]) == 4
    left = load_snapshot(snapshot.path)
    assert (left.user_ids, left.num_events) == (["u2"], 2)
    assert not any(b"u1" in file.read_bytes() or b"s1" in file.read_bytes() for file in left.path.glob("*.json"))
    assert erase_users(snapshot.path, ["u1"]) == 0
    events, sessions = load_events(left.path) or (None, None)
    assert events is not None
    assert sessions is not None
    assert (len(events), len(sessions)) == (2, 0)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [left.path.name]


def test_what_was_counted_of_a_forgotten_user_is_gone_too(engine: Engine, tmp_path: Path) -> None:
    fill(engine, [*ROWS, InteractionRow("e", 3, "u2", "i2", 500)])
    snapshot = build(engine, tmp_path / "rewritten", as_of=1000)
    erase_users(snapshot.path, ["u1"])
    left = load_snapshot(snapshot.path)
    erase_person(engine, "u1", now=1)
    never = build(engine, tmp_path / "never", as_of=1000)
    assert left.user_ids == never.user_ids == ["u2"]
    for name, part in features_of(never.stores).items():
        assert torch.equal(features_of(left.stores)[name], part), name
    for name, part in never.encoders["statistics"].items():
        assert torch.equal(left.encoders["statistics"][name], part), name
    assert not torch.equal(features_of(snapshot.stores)["item.stats"], features_of(left.stores)["item.stats"])


def test_who_is_forgotten_while_a_snapshot_is_read_is_not_in_it(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(engine)

    def late(temporary: Path, path: Path, *, replace: bool = False) -> None:
        if not replace:
            with write(engine) as connection:
                connection.execute(insert(erasures).values(user_id="u1", requested_at=1))
        place(temporary, path, replace=replace)

    monkeypatch.setattr("graphstore.snapshots.snapshot.place", late)
    assert build(engine, tmp_path, as_of=1000).user_ids == ["u2"]


def test_who_was_forgotten_since_is_not_in_a_snapshot_that_is_opened_again(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    path = build(engine, tmp_path, as_of=1000).path
    assert open_snapshot(engine, path).user_ids == ["u1", "u2"]
    with write(engine) as connection:  # killed before it came to the directory
        connection.execute(insert(erasures).values(user_id="u1", requested_at=1))
    assert open_snapshot(engine, path).user_ids == load_snapshot(path).user_ids == ["u2"]


def test_a_name_says_what_was_seen(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    snapshot = build(engine, tmp_path, as_of=300)
    assert seen_by(snapshot.snapshot_id) == Seen(300, snapshot.last_interaction_key)
    for other in ("s300", "s300-", "-s300-2", "s300-2.new", "t300-2", "s３-2"):
        assert seen_by(other) is None


def test_a_row_that_commits_late_is_waited_for(database_url: str, tmp_path: Path) -> None:
    if not database_url.startswith("postgresql"):
        pytest.skip("SQLite has one writer at a time: no row commits behind a newer one")
    slow, quick, reader = (open_engine(database_url) for _ in range(3))
    with ThreadPoolExecutor(1) as pool:
        with write(slow) as connection:
            ingest_interactions(connection, [InteractionRow("slow", 3, "u1", "i1", 100)], now=1)
            with write(quick) as other:
                ingest_interactions(other, [InteractionRow("quick", 3, "u2", "i2", 200)], now=1)
            building = pool.submit(build, reader, tmp_path, 1000)
            with pytest.raises(TimeoutError):
                building.result(timeout=0.5)
        assert building.result(timeout=30).num_events == 2
    for engine in (slow, quick, reader):
        engine.dispose()


def test_before_the_compaction_there_is_no_way_back(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    old = build(engine, tmp_path, as_of=250)
    with write(engine) as connection:
        raise_to(connection, COMPACTION_HORIZON, 300)
    assert build(engine, tmp_path, as_of=250).snapshot_id == old.snapshot_id  # it was made in time
    with pytest.raises(BeforeCompaction, match="before 1970-01-01 00:00:00 UTC were thinned out"):
        build(engine, tmp_path, as_of=240)
    assert build(engine, tmp_path, as_of=1000).compaction_horizon == 300
