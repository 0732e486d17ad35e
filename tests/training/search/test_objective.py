"""The objective: it rises with what ranks better, and what happens in the test window changes nothing."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from graphstore.session import write
from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.snapshot import build_snapshot
from graphstore.tables import interactions
from tests.training import toy_shop
from training.config import SageConfig, TrainingConfig
from training.data.dataset import TooFewEvents
from training.options import FitEvaluation
from training.search.objective import Objective

CONFIG = TrainingConfig(
    sage=SageConfig(dim=8, layers=1, max_steps=4, evaluate_every=2, batch_size=512, negatives=128, last_items=20)
)


def snapshot_of(engine: Engine, directory: Path) -> Snapshot:
    with engine.connect() as connection:
        closing = toy_shop.closing_time(connection)
    return build_snapshot(engine, directory, as_of=closing, created_at=closing)


@pytest.fixture
def shop(sqlite_engine: Engine) -> Engine:
    with write(sqlite_engine) as connection:
        toy_shop.open_shop(connection, days=10)
    return sqlite_engine


@pytest.fixture
def snapshot(shop: Engine, tmp_path: Path) -> Snapshot:
    return snapshot_of(shop, tmp_path / "snapshots")


@pytest.fixture
def objective(snapshot: Snapshot) -> Objective:
    return Objective.of(snapshot, config=CONFIG, seed=0)


def test_favourites_are_worth_more_than_a_blend_that_may_not_weigh(objective):
    evaluations: list[FitEvaluation] = []
    free = objective.ndcg(CONFIG, on_evaluation=evaluations.append)
    assert [evaluation.step for evaluation in evaluations] == [2, 4]
    assert free > 0.7  # two of four favourites a day: the four come first, and which of them nobody can know
    assert objective.ndcg(CONFIG.model_copy(update={"blend_l2": 1_000.0}), on_evaluation=lambda _: None) < free
    assert objective.ndcg(CONFIG.model_copy(update={"blend_focus": 0.0}), on_evaluation=lambda _: None) != free


def test_what_happens_in_the_test_window_changes_no_trial(shop, objective, tmp_path):
    """From some moment on everybody buys the first item alone: from the test window on, or a day before it."""
    with write(shop) as connection:
        moments = sorted(connection.scalars(select(interactions.c.event_time)))
    start = moments[int(len(moments) * 0.9)]
    values = []
    for place, first in enumerate((start, start - toy_shop.DAY_MS)):
        with write(shop) as connection:
            connection.execute(update(interactions).where(interactions.c.event_time >= first).values(item_key=1))
        other = Objective.of(snapshot_of(shop, tmp_path / f"other{place}"), config=CONFIG, seed=0)
        assert other.name != objective.name  # another study all the same: what it is tested on is another
        values.append(other.ndcg(CONFIG, on_evaluation=lambda _: None))
    assert values[0] == objective.ndcg(CONFIG, on_evaluation=lambda _: None)
    assert values[1] != values[0]


def test_nothing_to_choose_on(sqlite_engine, tmp_path):
    empty = build_snapshot(sqlite_engine, tmp_path, as_of=1, created_at=1)
    with pytest.raises(TooFewEvents):
        Objective.of(empty, config=CONFIG, seed=0)
