"""A snapshot of a replica: the reads go there, the writes to the primary, and a late replica loses nothing."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, select

from graphstore.config import GraphstoreConfig
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import NoDatabase, open_engine, read, write
from graphstore.snapshots import replica as replicas
from graphstore.snapshots.files import Snapshot, digest
from graphstore.snapshots.replica import ReplicaBehind, open_replica
from graphstore.snapshots.snapshot import build_snapshot
from graphstore.tables import erasures, snapshots


class Copy:
    """A replica of a SQLite file that shows the primary as it was at the last `follow`."""

    def __init__(self, primary: Engine, path: Path) -> None:
        self._primary, self._path = primary, path
        self.statements: list[str] = []
        self.engine = open_engine(f"sqlite:///{path}")
        self.follow()
        event.listen(self.engine, "before_cursor_execute", self._keep)

    def follow(self) -> None:
        with self._primary.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self.engine.dispose()  # an open connection would go on showing the old file
        for name in (self._path.name, f"{self._path.name}-wal", f"{self._path.name}-shm"):
            self._path.with_name(name).unlink(missing_ok=True)
        shutil.copy(str(self._primary.url.database), self._path)

    def _keep(self, *given: object) -> None:
        self.statements.append(str(given[2]))


@pytest.fixture
def copy(sqlite_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Copy]:
    monkeypatch.setattr(replicas, "CATCH_UP_SECONDS", 0.0)
    made = Copy(sqlite_engine, tmp_path / "replica.db")
    yield made
    made.engine.dispose()


def store(engine: Engine, *rows: InteractionRow) -> None:
    with write(engine) as connection:
        ingest_interactions(connection, rows, now=1)


def build(engine: Engine, directory: Path, now: int, copy: Copy | None = None) -> Snapshot:
    return build_snapshot(engine, directory, as_of=now, created_at=now, replica=copy.engine if copy else None)


def test_a_replica_that_follows_gives_the_same_files_and_is_only_read(
    sqlite_engine: Engine, copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(sqlite_engine, InteractionRow("a", 3, "u", "i", 100), InteractionRow("b", 0, "v", "j", 200))
    primary: list[str] = []
    event.listen(sqlite_engine, "before_cursor_execute", lambda *given: primary.append(given[2]))
    monkeypatch.setattr(replicas, "CATCH_UP_SECONDS", 60.0)
    monkeypatch.setattr("graphstore.snapshots.replica.time.sleep", lambda _: copy.follow())
    made = build(sqlite_engine, tmp_path / "one", 1_000, copy)
    assert digest(made.path) == digest(build(sqlite_engine, tmp_path / "two", 1_000).path)
    assert any("FROM interactions" in statement for statement in copy.statements)
    assert not any(word in statement for statement in copy.statements for word in ("INSERT", "UPDATE", "DELETE"))
    reads = [statement for statement in primary[: primary.index("BEGIN IMMEDIATE", 1)] if "interactions" in statement]
    assert len(reads) == 1  # the newest key alone
    with read(sqlite_engine) as connection:
        assert connection.scalars(select(snapshots.c.snapshot_id)).all() == [made.snapshot_id]


def test_a_late_replica_gives_what_it_holds_and_the_next_snapshot_has_the_rest(
    sqlite_engine: Engine, copy: Copy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store(sqlite_engine, InteractionRow("a", 3, "u", "i", 100))
    replicas.note_newest_key(sqlite_engine, now=500)
    store(sqlite_engine, InteractionRow("b", 0, "v", "j", 200))  # after the note: perhaps not all that came with it
    copy.follow()
    late = build(sqlite_engine, tmp_path, 1_000, copy)
    assert (late.as_of, late.last_interaction_key, late.user_ids) == (500, 1, ["u"])
    assert "behind" in caplog.text
    with read(sqlite_engine) as connection:
        assert connection.scalars(select(snapshots.c.as_of)).all() == [500]
    copy.follow()  # with the note of the build before
    assert build(sqlite_engine, tmp_path, 2_000, copy).user_ids == ["u", "v"]


def test_what_is_no_replica_is_refused(sqlite_engine: Engine, copy: Copy, tmp_path: Path) -> None:
    store(sqlite_engine, InteractionRow("a", 3, "u", "i", 100))
    with pytest.raises(ReplicaBehind, match="SNAPSHOT_DATABASE_URL"):
        build(sqlite_engine, tmp_path / "snapshots", 1_000, copy)


def test_who_is_forgotten_on_the_primary_is_not_in_a_late_snapshot(
    sqlite_engine: Engine, copy: Copy, tmp_path: Path
) -> None:
    store(sqlite_engine, InteractionRow("a", 3, "u", "i", 100), InteractionRow("b", 0, "gone", "i", 50))
    replicas.note_newest_key(sqlite_engine, now=500)
    copy.follow()
    with write(sqlite_engine) as connection:
        connection.execute(erasures.insert().values(user_id="gone", requested_at=600))
    assert build(sqlite_engine, tmp_path / "snapshots", 1_000, copy).user_ids == ["u"]


def test_the_setting_opens_the_replica_and_without_it_there_is_none(copy: Copy, tmp_path: Path) -> None:
    with open_replica(GraphstoreConfig(state_dir=tmp_path)) as none:
        assert none is None
    with open_replica(GraphstoreConfig(snapshot_database_url=str(copy.engine.url))) as opened:
        assert opened is not None
        assert str(opened.url) == str(copy.engine.url)
    away = GraphstoreConfig(snapshot_database_url=f"sqlite:///{tmp_path / 'away.db'}")
    with pytest.raises(NoDatabase), open_replica(away):
        pass
