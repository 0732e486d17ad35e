"""`evaluate` on a shop that went on trading."""

from pathlib import Path

import pytest

from graphstore.config import GraphstoreConfig
from graphstore.session import open_engine, write
from graphstore.snapshots.snapshot import build_snapshot
from tests.databases import migrated_sqlite
from tests.sagestream.verbs.commands import run
from tests.training.toy_shop import closing_time, open_shop, trade
from training.config import TrainingConfig
from training.features.snapshot_features import featurize
from training.lifecycle.run import RunSpec, run_training
from training.options import TrainingOptions

pytestmark = pytest.mark.slow


def test_a_champion_is_measured_on_what_came_after_it(tmp_path: Path) -> None:
    settings = {"STATE_DIR": str(tmp_path)}
    graph = GraphstoreConfig(state_dir=tmp_path)
    engine = open_engine(migrated_sqlite(tmp_path / "graph.db"))
    nobody = run("evaluate", settings=settings)
    assert (nobody.code, type(nobody.error).__name__) == (1, "NoChampion")
    with write(engine) as connection:
        open_shop(connection, days=12)
        now = closing_time(connection)
    result = run_training(
        engine,
        RunSpec("closed_form", "test"),
        graph=graph,
        config=TrainingConfig(),
        now=lambda: now,
        options=TrainingOptions(seed=0),
    )
    too_early = run("evaluate", settings=settings)
    assert (too_early.code, type(too_early.error).__name__) == (1, "TooFewEvents")
    with write(engine) as connection:
        trade(connection, first_day=12, days=3)
        later = closing_time(connection)
    snapshot = build_snapshot(engine, graph.snapshots_dir, as_of=later, created_at=later, featurize=featurize)
    engine.dispose()
    done = run("evaluate", result.model_version, "--json", settings=settings)
    assert (done.code, done.error) == (0, None)
    assert (done.json["model_version"], done.json["snapshot_id"]) == (result.model_version, snapshot.snapshot_id)
    assert done.json["users"] == 40
    assert done.json["recall@10"] == 1.0  # four favourites each, and they are known
    assert done.json["warm"]["users"] == 40
    shown = run("evaluate", settings=settings, columns=80).out
    assert "recall@10" in shown
    assert result.model_version in shown.split()
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80
