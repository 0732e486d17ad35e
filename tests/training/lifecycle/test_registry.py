"""The registry on both databases."""

import pytest
from sqlalchemy import Engine, insert, update
from sqlalchemy.exc import IntegrityError

from graphstore.session import read, write
from graphstore.tables import models, snapshots
from stream.events import MODELS, ModelAnnouncement, utc
from training.lifecycle import registry
from training.lifecycle.registry import ModelRow


def model(version: str, *, parent: str | None = None, created_at: int = 1) -> ModelRow:
    return ModelRow(
        model_version=version,
        kind="closed_form",
        status=registry.CANDIDATE,
        parent=parent,
        snapshot_id="s",
        bundle=f"models/{version}",
        metrics={"ndcg@20": 0.25},
        gate={"verdict": "promoted", "reasons": ["because"]},
        seconds=1.5,
        created_at=created_at,
    )


def test_one_champion_at_a_time(engine: Engine):
    with write(engine) as connection:
        assert registry.champion(connection) is None
        registry.register(connection, model("a"))
        registry.register(connection, model("b", parent="a", created_at=2))
        registry.promote(connection, "a", now=10)
        promoted = registry.promote(connection, "b", now=20)
    assert (promoted.status, promoted.promoted_at, promoted.metrics) == ("champion", 20, {"ndcg@20": 0.25})
    with read(engine) as connection:
        assert registry.champion(connection) == promoted
        assert [(row.model_version, row.status) for row in registry.list_models(connection)] == [
            ("a", "retired"),
            ("b", "champion"),
        ]
    with pytest.raises(IntegrityError), write(engine) as connection:
        connection.execute(update(models).where(models.c.model_version == "a").values(status=registry.CHAMPION))
    with pytest.raises(registry.UnknownModel), write(engine) as connection:
        registry.promote(connection, "nobody", now=30)


def test_promoting_the_champion_changes_nothing(engine: Engine):
    with write(engine) as connection:
        registry.register(connection, model("a"))
        registry.promote(connection, "a", now=10)
        assert registry.promote(connection, "a", now=20).promoted_at == 10
        with pytest.raises(ValueError, match="champion"):
            registry.keep(connection, "a")


def test_keep_and_rollback(engine: Engine):
    with write(engine) as connection:
        for version, parent, time in (("a", None, 1), ("b", "a", 2), ("c", "b", 3), ("d", "c", 4)):
            registry.register(connection, model(version, parent=parent, created_at=time))
        for version, time in (("a", 10), ("b", 20), ("c", 30)):
            registry.promote(connection, version, now=time)
        assert registry.keep(connection, "d").status == registry.KEPT
        assert registry.rollback(connection, now=40).model_version == "b"
        assert registry.rollback(connection, now=50).model_version == "a"
        assert registry.get_model(connection, "c").status == registry.RETIRED
        with pytest.raises(registry.NoChampion, match="nothing to go back"):  # never to c or b again
            registry.rollback(connection, now=60)


def test_a_banned_or_pruned_model_is_promoted_by_nobody_by_mistake(engine: Engine):
    with write(engine) as connection:
        for version in "abc":
            registry.register(connection, model(version))
        registry.promote(connection, "a", now=10)
        registry.ban(connection, "b", now=11)
        registry.ban(connection, "b", now=12)
        connection.execute(update(models).where(models.c.model_version == "c").values(pruned_at=13))
        assert registry.get_model(connection, "b").banned_at == 11
        with pytest.raises(registry.BannedModel, match="did harm"):
            registry.promote(connection, "b", now=20)
        with pytest.raises(registry.PrunedModel, match="was deleted"):
            registry.promote(connection, "c", now=20, banned_too=True)
        assert registry.promote(connection, "b", now=20, banned_too=True).banned_at == 11


def test_nothing_to_go_back_to(engine: Engine):
    with write(engine) as connection:
        with pytest.raises(registry.NoChampion, match="no champion"):
            registry.rollback(connection, now=1)
        registry.register(connection, model("a"))
        registry.promote(connection, "a", now=2)
        with pytest.raises(registry.NoChampion, match="nothing to go back"):
            registry.rollback(connection, now=3)


def test_runs_end_once(engine: Engine):
    with write(engine) as connection:
        first = registry.next_run_id(connection, now=5)
        registry.start_run(connection, first, kind="closed_form", trigger="test", now=5)
        again = registry.start_run(connection, first, kind="closed_form", trigger="other", now=6)
        assert (again.trigger, again.status) == ("test", registry.RUNNING)
        second = registry.next_run_id(connection, now=5)
        assert second != first
        registry.start_run(connection, second, kind="incremental", trigger="test", now=7)
        assert registry.finish_run(connection, first, status=registry.KEPT, now=8, model_version="m")
        assert not registry.finish_run(connection, first, status=registry.PROMOTED, now=9)
        assert registry.finish_run(connection, second, status=registry.FAILED, now=9, error="killed")
        assert not registry.finish_run(connection, second, status=registry.PROMOTED, now=10)
        newest, oldest = registry.list_runs(connection, newest=5)
        assert (newest.status, newest.finished_at) == (registry.FAILED, 9)
        assert newest.error
        assert (oldest.status, oldest.model_version) == (registry.KEPT, "m")


def test_the_last_start_of_a_kind_is_remembered_beyond_any_number_of_other_runs(engine: Engine):
    with write(engine) as connection:
        assert registry.last_start(connection, "graphsage") is None
        for place, (kind, status) in enumerate(
            [
                ("graphsage", registry.KEPT),
                *[("incremental", registry.KEPT)] * 150,
                ("graphsage", registry.FAILED),
                ("graphsage", registry.POSTPONED),
            ]
        ):
            registry.start_run(connection, f"r{place:03d}", kind=kind, trigger="", now=place)
            registry.finish_run(connection, f"r{place:03d}", status=status, now=place)
        assert registry.last_start(connection, "graphsage") == 0
        assert registry.last_start(connection, "graphsage", "incremental") == 150
        newest = registry.newest_runs_of(connection, "graphsage", newest=2)
        assert [run.status for run in newest] == [registry.POSTPONED, registry.FAILED]


def test_the_last_seen_interaction_is_that_of_finished_runs(engine: Engine):
    with write(engine) as connection:
        assert registry.last_seen_interaction(connection) == 0
        for place, status in enumerate((registry.KEPT, registry.PROMOTED, registry.FAILED), start=1):
            counts = {"users": 1, "items": 1, "interactions": 1}
            row = {"snapshot_id": f"s{place}", "as_of": 1, "last_interaction_key": 100 * place, "path": "", **counts}
            connection.execute(insert(snapshots).values(**row, created_at=1))
            registry.start_run(connection, f"r{place}", kind="closed_form", trigger="", now=place)
            registry.finish_run(connection, f"r{place}", status=status, now=9, snapshot_id=f"s{place}")
        assert registry.last_seen_interaction(connection) == 200


def test_announcements_carry_the_row():
    sent = []

    class Producer:
        def send(self, topic, event, *, key):
            sent.append((topic, event, key))

        def flush(self, timeout_seconds=30.0):
            sent.append("flushed")

    registry.announce(Producer(), model("a"), now=1_700_000_000_000)
    announcement = ModelAnnouncement(
        model_version="a", status="candidate", bundle="models/a", event_time=utc(1_700_000_000_000)
    )
    assert sent == [(MODELS, announcement, "a"), "flushed"]
