"""Which bundles stay, on both databases."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, update

from graphstore.session import read, write
from graphstore.tables import experiments, models
from tests.training.lifecycle.test_registry import model
from training.lifecycle import registry
from training.lifecycle.promotions import Change
from training.lifecycle.pruning import prune_bundles

NOW = 1_700_000_000_000


def version(number: int) -> str:
    return f"m{NOW + number}-{number}"


Making = Callable[..., None]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    return path


@pytest.fixture
def make(engine: Engine, directory: Path) -> Making:
    """Make models with their bundles, oldest first."""

    def made(count: int, *, parents: dict[int, int] | None = None, anchors: dict[int, int] | None = None) -> None:
        with write(engine) as connection:
            for number in range(count):
                bundle = directory / version(number)
                bundle.mkdir()
                (bundle / "trend.pt").write_bytes(b"weights")
                parent, anchor = ({} if of is None else of for of in (parents, anchors))
                row = replace(
                    model(version(number), created_at=NOW + number),
                    bundle=str(bundle),
                    parent=version(parent[number]) if number in parent else None,
                    anchor=version(anchor[number]) if number in anchor else None,
                )
                registry.register(connection, row)

    return made


def prune(engine: Engine, directory: Path, *, keep: int = 1) -> list[str]:
    return prune_bundles(engine, directory, keep=keep, now=NOW + 100)


def left(directory: Path) -> list[int]:
    return sorted(int(path.name.rpartition("-")[2]) for path in directory.iterdir())


def reign(engine: Engine, *numbers: int, change: Change | None = None) -> None:
    """These models become champions, one after the other; the last one with this change."""
    with write(engine) as connection:
        for number in numbers:
            registry.promote(connection, version(number), now=NOW, change=change or Change())


def test_the_newest_models_and_the_champion_stay(engine, directory, make):
    make(6)
    reign(engine, 1)
    assert sorted(prune(engine, directory, keep=2)) == [version(0), version(2), version(3)]
    assert left(directory) == [1, 4, 5]
    assert prune(engine, directory, keep=2) == []
    with read(engine) as connection:
        rows = registry.list_models(connection)
    assert [row.pruned_at for row in rows] == [NOW + 100, None, NOW + 100, NOW + 100, None, None]


def test_a_pruned_model_is_promoted_by_nobody(engine, directory, make):
    make(4)
    reign(engine, 0, 1, 2, 3)
    prune(engine, directory)
    assert left(directory) == [1, 2, 3]  # two ways back
    with write(engine) as connection, pytest.raises(registry.PrunedModel, match=version(0)):
        registry.promote(connection, version(0), now=NOW)
    with write(engine) as connection:
        assert registry.rollback(connection, now=NOW).model_version == version(2)
        assert registry.rollback(connection, now=NOW).model_version == version(1)
        with pytest.raises(registry.NoChampion):
            registry.rollback(connection, now=NOW)


def test_parents_and_anchors_stay(engine, directory, make):
    make(8, parents={5: 4}, anchors={5: 2, 7: 1})
    reign(engine, 5)
    prune(engine, directory)
    assert left(directory) == [1, 2, 4, 5, 7]


def test_a_probation_keeps_the_previous_champion(engine, directory, make):
    make(9)
    reign(engine, 0, 1, 2, 3)
    reign(engine, 4, change=Change(probation_share=0.1, probation_seconds=3600))
    with write(engine) as connection:  # it can only be rolled back to what did no harm, but its shoppers have lists
        for number in (1, 2, 3):
            registry.ban(connection, version(number), now=NOW)
    prune(engine, directory)
    assert left(directory) == [0, 3, 4, 8]


def test_a_running_experiment_keeps_its_models(engine, directory, make):
    make(5)
    row = {"salt": "s", "who": "w", "why": "y", "started_at": NOW}
    with write(engine) as connection:
        for name, number, status in (("one", 1, "running"), ("two", 2, "stopped")):
            arms = (
                f'[{{"name": "a", "share": 0.5}}, {{"name": "b", "share": 0.5, "model_version": "{version(number)}"}}]'
            )
            connection.execute(insert(experiments).values(name=name, arms=arms, status=status, **row))
    prune(engine, directory)
    assert left(directory) == [1, 4]


def test_what_a_killed_pruning_left_is_deleted(engine, directory, make):
    make(3)
    with write(engine) as connection:
        connection.execute(update(models).where(models.c.model_version == version(0)).values(pruned_at=NOW))
    assert sorted(prune(engine, directory)) == [version(0), version(1)]
    assert left(directory) == [2]


def test_bundles_of_killed_runs_are_deleted_and_those_of_others_are_not(engine, directory, tmp_path, make):
    make(1)
    elsewhere = tmp_path / version(9)
    elsewhere.mkdir()
    with write(engine) as connection:
        for number, status in ((1, registry.FAILED), (2, registry.FAILED), (3, registry.RUNNING)):
            registry.start_run(connection, f"r{NOW + number}-{number}", kind="incremental", trigger="", now=NOW)
            if status == registry.FAILED:
                registry.finish_run(connection, f"r{NOW + number}-{number}", status=status, now=NOW)
        registry.register(connection, replace(model(version(9), created_at=NOW - 1), bundle=str(elsewhere)))
    half_written = f".{version(1)}.4711"
    names = [half_written, version(2), version(3), version(4), "notes"]
    for name in names:
        (directory / name).mkdir()
    assert sorted(prune(engine, directory)) == sorted([half_written, version(2)])
    assert sorted(path.name for path in directory.iterdir()) == sorted([version(0), version(3), version(4), "notes"])
    assert elsewhere.exists()
    assert prune_bundles(engine, tmp_path / "none", keep=1, now=NOW) == []
