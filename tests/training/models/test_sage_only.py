"""A model of GraphSAGE alone: it knows the favourites, not what comes after its cut, and a bundle keeps it."""

from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from graphstore.session import write
from graphstore.snapshots.snapshot import build_snapshot
from tests.training.toy_shop import NUM_USERS, closing_time, favourites, open_shop
from training.config import SageConfig, TrainingConfig
from training.features.snapshot_features import featurize
from training.models.bundle import load_bundle, save_bundle
from training.models.sage_only import KIND, fit_sage_model
from training.options import TrainingOptions
from training.sage.process_group import ProcessGroup

SAGE = SageConfig(dim=16, max_steps=30, evaluate_every=10, learning_rate=0.02, half_lives_ranks=(2.0, float("inf")))


def test_from_a_snapshot_to_a_bundle(sqlite_engine: Engine, tmp_path: Path) -> None:
    with write(sqlite_engine) as connection:
        open_shop(connection, days=12)
        now = closing_time(connection)
    snapshot = build_snapshot(sqlite_engine, tmp_path, as_of=now, created_at=now, featurize=featurize)
    config = TrainingConfig(sage=SAGE)
    told: list[str] = []
    model, metrics = fit_sage_model(
        snapshot,
        model_version="m1",
        config=config,
        options=TrainingOptions(seed=0, progress=lambda line, share: told.append(line)),
        group=ProcessGroup(),
    )
    assert metrics["users"] == NUM_USERS
    assert metrics["recall@10"] > 0.95  # favourites are what comes next, and there are four of 24
    assert len(told) == 3
    times = snapshot.events.edge_time.numpy()
    assert np.mean(times < model.as_of) < 0.85  # it stands at the cut before the validation window

    path = save_bundle(model, tmp_path / "models", snapshot_id="s", parent=None, metrics=metrics, config={})
    again = load_bundle(path)
    assert (again.kind, again.model_version, again.as_of) == (KIND, "m1", model.as_of)
    keys = dict(zip(snapshot.item_ids, snapshot.item_keys.tolist(), strict=True))
    mine = [[(keys[f"i{item}"], day, 3) for day, item in enumerate(favourites(user))] for user in (0, 1, 2)]
    rows, scores = again.recommend(again.histories(mine), as_of=now, k=4)
    expected, _ = model.recommend(model.histories(mine), as_of=now, k=4)
    assert np.array_equal(rows, expected)
    assert np.isfinite(scores).all()
    # A cold user's list is the item's bias alone, and there is one.
    assert (again.recommend(again.histories([[]]), as_of=now, k=4)[0] >= 0).all()
