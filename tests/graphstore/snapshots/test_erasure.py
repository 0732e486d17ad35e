"""Erasure in snapshots: whoever is named is taken out, by one process at a time, and leftovers go."""

import contextlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from graphstore.erase import erase_person
from graphstore.identities import IdentityRow, ingest_identities
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import write
from graphstore.snapshots import graph
from graphstore.snapshots.erasure import ABANDONED_MS, erase_from_snapshots
from graphstore.snapshots.files import load_snapshot, save_snapshot
from graphstore.snapshots.rewrite import erase_users
from graphstore.snapshots.snapshot import build_snapshot
from graphstore.tables import snapshots

T0 = 1_700_000_000_000


def take(engine: Engine, *touches: tuple[str, int]) -> None:
    rows = [InteractionRow(f"{user}{time}", 0, user, "i1", T0 + time) for user, time in touches]
    with write(engine) as connection:
        ingest_interactions(connection, rows, now=T0)


def build(engine: Engine, directory: Path, *, as_of: int) -> Path:
    return build_snapshot(engine, directory, as_of=T0 + as_of, created_at=T0).path


def hidden(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob(".*") if path.is_dir())


@pytest.fixture
def directory(sqlite_engine: Engine, tmp_path: Path) -> Path:
    """Three snapshots: Ann is in the later two."""
    take(sqlite_engine, ("bob", 1), ("ann", 11), ("ann", 12), ("cyd", 21))
    for as_of in (10, 20, 30):
        build(sqlite_engine, tmp_path / "snapshots", as_of=as_of)
    return tmp_path / "snapshots"


def test_only_the_directories_that_name_the_user_are_rewritten(sqlite_engine: Engine, directory: Path) -> None:
    untouched, *others = sorted(directory.glob("s*"))
    before = (untouched / "meta.json").stat()
    counts = erase_from_snapshots(sqlite_engine, directory, ["ann", "i1"], now=T0)  # an item is no user
    assert counts == {"rewritten": 2, "events": 4, "deleted": 0, "elsewhere": "none"}
    assert [load_snapshot(path).user_ids for path in others] == [["bob"], ["bob", "cyd"]]
    assert (untouched / "meta.json").stat() == before
    assert hidden(directory) == []
    again = erase_from_snapshots(sqlite_engine, directory, ["ann"], now=T0)
    assert again == {"rewritten": 0, "events": 0, "deleted": 0, "elsewhere": "none"}


def test_a_snapshot_elsewhere_is_rewritten_or_told_of(sqlite_engine: Engine, directory: Path, tmp_path: Path) -> None:
    moved = tmp_path / "other" / "s1"
    moved.parent.mkdir()
    max(directory.glob("s*")).rename(moved)
    with write(sqlite_engine) as connection:
        row = {"as_of": 0, "last_interaction_key": 0, "created_at": 0, "users": 0, "items": 0, "interactions": 0}
        paths = {"s1": moved, "s2": directory / "pruned", "s3": Path("/on/another/machine/s3")}
        connection.execute(insert(snapshots), [{"snapshot_id": n, "path": str(p), **row} for n, p in paths.items()])
    counts = erase_from_snapshots(sqlite_engine, directory, ["ann"], now=T0)
    assert (counts["rewritten"], counts["elsewhere"]) == (2, "1 lie in a directory that is not on this machine")
    assert load_snapshot(moved).user_ids == ["bob", "cyd"]


def test_a_directory_of_an_older_form_goes_where_it_names_the_user(sqlite_engine: Engine, directory: Path) -> None:
    for path in directory.glob("s*"):
        (path / "events.npy").unlink()
    counts = erase_from_snapshots(sqlite_engine, directory, ["ann"], now=T0)
    assert (counts["deleted"], counts["rewritten"]) == (2, 0)
    assert len(list(directory.glob("s*"))) == 1


def test_what_a_killed_process_left_goes(sqlite_engine: Engine, directory: Path) -> None:
    now = int(directory.stat().st_mtime * 1000)
    for name in (".s1-1.in-the-making", ".s2-2.abandoned", ".erased.s3-3.half-way"):
        (directory / name).mkdir()
    old = (now - 2 * ABANDONED_MS) / 1000
    os.utime(directory / ".s2-2.abandoned", (old, old))
    assert erase_from_snapshots(sqlite_engine, directory, ["nobody"], now=now)["deleted"] == 2
    assert hidden(directory) == [".s1-1.in-the-making"]


def test_a_person_of_whom_only_a_session_is_there_is_not_named_any_more(sqlite_engine: Engine, tmp_path: Path) -> None:
    take(sqlite_engine, ("s1", 1))
    with write(sqlite_engine) as connection:
        ingest_identities(connection, [IdentityRow("s1", "ann", T0 + 5)])
    path = build(sqlite_engine, tmp_path, as_of=10)
    assert load_snapshot(path).user_ids == ["ann"]
    with write(sqlite_engine) as connection:
        ingest_identities(connection, [IdentityRow("s1", "bob", T0 + 4)])  # it was Bob's all the time
    assert erase_person(sqlite_engine, "ann", now=T0).ids == ["ann"]
    assert erase_from_snapshots(sqlite_engine, tmp_path, ["ann"], now=T0)["rewritten"] == 1
    assert load_snapshot(path).user_ids == ["s1"]
    assert b"ann" not in (path / "mappings.json").read_bytes()


def test_a_snapshot_that_grows_from_one_not_yet_rewritten_leaves_them_out(engine: Engine, tmp_path: Path) -> None:
    take(engine, ("bob", 1), ("ann", 2))
    build(engine, tmp_path, as_of=10)
    erase_person(engine, "ann", now=T0)
    take(engine, ("cyd", 11))  # on SQLite, rows after the newest one was erased
    child = load_snapshot(build(engine, tmp_path, as_of=20))
    assert child.user_ids == ["bob", "cyd"]
    assert child.num_events == 2


def test_who_is_forgotten_while_a_snapshot_is_written_is_not_in_it(
    sqlite_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(sqlite_engine, ("bob", 1), ("ann", 2))

    erased: list[str] = []

    def late(*arguments: Any) -> Path:
        if not erased:
            erased.extend(erase_person(sqlite_engine, "ann", now=T0).ids)
            assert erase_from_snapshots(sqlite_engine, tmp_path, erased, now=T0)["rewritten"] == 0
        return save_snapshot(*arguments)

    monkeypatch.setattr("graphstore.snapshots.snapshot.save_snapshot", late)
    assert load_snapshot(build(sqlite_engine, tmp_path, as_of=10)).user_ids == ["bob"]
    assert erased


def test_two_erasures_at_once_do_not_undo_each_other(
    sqlite_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(sqlite_engine, ("ann", 1), ("bob", 2), ("cyd", 3))
    path = build(sqlite_engine, tmp_path, as_of=10)
    both = threading.Barrier(2)

    def slow(*arguments: Any) -> Any:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # both have read by now, if neither waits for the other
        return graph.make_graph(*arguments)

    monkeypatch.setattr("graphstore.snapshots.rewrite.make_graph", slow)
    threads = [threading.Thread(target=erase_users, args=(path, [user])) for user in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert load_snapshot(path).user_ids == ["cyd"]
