"""A bad champion is taken back by the shop itself."""

import dataclasses
from pathlib import Path

import pytest
from redis import Redis

from monitoring.config import MonitoringConfig
from sagestream.simulation.bad_champion import Hours, force_bad_champion
from sagestream.simulation.latent_world import LatentSize
from sagestream.simulation.run import open_shop
from sagestream.simulation.scenarios import Plan, made_up
from sagestream.simulation.shop import ShopConfig
from serving.config import ServingConfig
from training.config import TrainingConfig

pytestmark = pytest.mark.slow

SIZE = LatentSize(
    shoppers=400,
    items=30,
    days=1,
    history_days=4,
    categories=3,
    visits_per_day=90.0,
    history_visits=0.02,
    arrivals=0.0,
)


def test_an_inverted_model_is_rolled_back(tmp_path: Path, redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    config = ShopConfig(TrainingConfig(gate_min_users=10), ServingConfig(list_length=20), MonitoringConfig())
    scenario = made_up(SIZE, Plan(1, 0, config))
    (tmp_path / "opened").mkdir()
    opened = open_shop(scenario, tmp_path / "opened", redis)
    damage = force_bad_champion(
        scenario, opened, "inverted", directory=tmp_path / "shop", redis=redis, hours=Hours(good=0.2, bad=2.0)
    )
    assert damage.rolled_back
    assert damage.rate_kept < 0.7
    assert 0 < damage.minutes < 120
    assert damage.clicks_lost_share == pytest.approx(
        (1 - damage.rate_kept) * damage.minutes / 1440, rel=0.5
    )  # the hour is about as busy as the mean hour
    assert "was taken back" in caplog.text

    unwatched = dataclasses.replace(
        scenario,
        config=dataclasses.replace(
            scenario.config, training=scenario.config.training.model_copy(update={"probation_share": 0.0})
        ),
    )
    damage = force_bad_champion(
        unwatched, opened, "inverted", directory=tmp_path / "unwatched", redis=redis, hours=Hours(good=0.1, bad=0.1)
    )
    assert not damage.rolled_back
    assert damage.minutes == 6
