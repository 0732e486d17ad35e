"""The loop on a tiny world, with real SQLite and Redis."""

import dataclasses
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import func, select

from graphstore.retention import DAY_MS
from graphstore.session import open_engine, read
from graphstore.tables import attributions, impressions, interactions, metric_windows
from monitoring.config import MonitoringConfig
from sagestream.simulation.latent_world import LatentSize, LatentWorld
from sagestream.simulation.run import Course, Opened, Scenario, open_shop, simulate
from sagestream.simulation.shop import DATABASE, ShopConfig
from serving.config import ServingConfig
from training.config import SageConfig, TrainingConfig

pytestmark = pytest.mark.slow

DAYS = 2
NIGHTS = 1
SIZE = LatentSize(shoppers=80, items=40, days=DAYS, history_days=14, segments=3, categories=4, visits_per_day=1.5)


def scenario() -> Scenario:
    sage = SageConfig(dim=8, max_steps=2, evaluate_every=1, batch_size=128, negatives=16, graph_edges=1000)
    config = ShopConfig(
        TrainingConfig(retrain_min_events=150, retrain_full_seconds=1e9, gate_min_users=10, sage=sage),
        ServingConfig(list_length=20),
        MonitoringConfig(),
    )
    return Scenario(lambda: LatentWorld(SIZE, seed=0), config, days=DAYS, seed=0)


def counts(database: Path) -> dict[str, int]:
    engine = open_engine(f"sqlite:///{database}")
    try:
        with read(engine) as connection:
            tables = (interactions, impressions, attributions, metric_windows)
            return {table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables}
    finally:
        engine.dispose()


def test_each_policy_keeps_its_own_shop(tmp_path: Path, redis: Redis) -> None:
    made = scenario()
    (tmp_path / "opened").mkdir()
    opened: Opened = open_shop(made, tmp_path / "opened", redis)
    before = counts(tmp_path / "opened" / DATABASE)
    assert before["interactions"] == len(opened.past)

    lines: list[str] = []
    courses: dict[str, Course] = {}
    short = dataclasses.replace(made, days=NIGHTS)
    for policy in ("oracle", "loop", "nightly"):
        courses[policy] = simulate(
            short if policy == "nightly" else made,
            policy,
            opened,
            directory=tmp_path / policy,
            redis=redis,
            progress=lambda line, share: lines.append(line),
        )
    totals = {name: course.between(course.opening, course.opening + DAYS * DAY_MS) for name, course in courses.items()}
    # The same visits, whatever was shown.
    assert totals["oracle"].visits == totals["loop"].visits
    assert totals["nightly"].visits == courses["loop"].days()[0].visits
    assert totals["oracle"].expected_clicks > totals["loop"].expected_clicks
    assert {policy: len(course.runs) for policy, course in courses.items() if policy != "loop"} == {
        "oracle": 0,
        "nightly": NIGHTS,
    }
    assert [run.kind for run in courses["nightly"].runs] == ["closed_form"] * NIGHTS
    assert len(courses["loop"].runs) >= 2
    assert "incremental" in {run.kind for run in courses["loop"].runs}
    assert lines[0] == "oracle, day 1"

    # What the shop of the loop has recorded is what happened.
    stored = counts(tmp_path / "loop" / DATABASE)
    assert stored["impressions"] == totals["loop"].shown
    named, bought = _from_lists(tmp_path / "loop" / DATABASE)
    assert named == totals["loop"].clicks + bought
    assert stored["attributions"] >= named  # others are credited to the last list that has shown the item
    assert stored["metric_windows"] > 0
    # The opened shop is as it was.
    assert counts(tmp_path / "opened" / DATABASE) == before


def _from_lists(database: Path) -> tuple[int, int]:
    """Return how many events were credited to the list that they name, and how many purchases name one."""
    engine = open_engine(f"sqlite:///{database}")
    try:
        with read(engine) as connection:
            named = select(func.count()).where(attributions.c.matched_by == "request")
            bought = select(func.count()).where(interactions.c.event_type == 3, interactions.c.request_id.is_not(None))
            return connection.scalar(named) or 0, connection.scalar(bought) or 0
    finally:
        engine.dispose()
