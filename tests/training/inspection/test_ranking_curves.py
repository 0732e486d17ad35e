"""Curves: the same figures as hindsight at its cutoffs, and a model that knows more ranks above popularity."""

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from graphstore.config import GraphstoreConfig
from graphstore.session import write
from graphstore.snapshots.snapshot import build_snapshot
from tests.training import toy_shop
from training.config import TrainingConfig
from training.data.dataset import TooFewEvents
from training.inspection.later_evaluation import later_evaluation
from training.inspection.ranking_curves import LONGEST, MEASURES, ranking_curves
from training.lifecycle.run import RunSpec, run_training
from training.models.bundle import load_bundle
from training.options import TrainingOptions

CONFIG = TrainingConfig(blend_focus=0.0)
"""All favourites count alike, the rarest one too."""


def test_a_curve_for_each_length_of_a_list(sqlite_engine: Engine, tmp_path: Path) -> None:
    with write(sqlite_engine) as connection:
        toy_shop.open_shop(connection, days=12)
        now = toy_shop.closing_time(connection)
    graph = GraphstoreConfig(state_dir=tmp_path)
    settings = {"graph": graph, "config": CONFIG, "now": lambda: now, "options": TrainingOptions(seed=0)}
    result = run_training(sqlite_engine, RunSpec("closed_form", "test"), **settings)
    model = load_bundle(Path(result.bundle))
    early = build_snapshot(sqlite_engine, graph.snapshots_dir, as_of=now, created_at=now)
    with pytest.raises(TooFewEvents, match="nothing to judge"):
        ranking_curves(model, early, max_users=100)
    with write(sqlite_engine) as connection:
        toy_shop.trade(connection, first_day=12, days=3)
        now = toy_shop.closing_time(connection)
    later = build_snapshot(sqlite_engine, graph.snapshots_dir, as_of=now, created_at=now)
    found = ranking_curves(model, later, max_users=100)
    assert (found.users, found.since) == (40, model.as_of)
    assert list(found.models) == [model.model_version, "recent popularity"]
    ours, popular = found.models.values()
    told = later_evaluation(model, later, max_users=100, cutoffs=(1, 4, 20))
    for name in MEASURES:
        assert ours[name].shape == (LONGEST,)
        for k in (1, 4, 20):
            assert ours[name][k - 1] == pytest.approx(told[f"{name}@{k}"])
    assert ours["recall"][3] == 1.0  # four favourites each, and the model knows them
    assert popular["recall"][3] < 0.6
    assert (np.diff(ours["recall"]) >= 0).all()
    assert (np.diff(popular["hit_rate"]) >= 0).all()
    assert popular["recall"][-1] == 1.0  # of a catalogue that is shorter than the list
