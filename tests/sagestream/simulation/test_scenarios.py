"""Scenarios make the same world anew, at the scale of its shop."""

import numpy as np

from monitoring.config import MonitoringConfig
from sagestream.simulation.injections import Injection
from sagestream.simulation.scenarios import EVENTS_A_VISIT, Plan, made_up, of_data
from sagestream.simulation.shop import ShopConfig
from serving.config import ServingConfig
from tests.sagestream.simulation.worlds import SIZE, day_of, table
from training.config import TrainingConfig

PLAN = Plan(4, 0, ShopConfig(TrainingConfig(), ServingConfig(), MonitoringConfig()), Injection("price_shock", 2))


def test_a_made_up_shop_trains_about_once_a_day() -> None:
    made = made_up(SIZE, PLAN)
    assert made.config.training.retrain_min_events == round(SIZE.shoppers * EVENTS_A_VISIT)
    assert day_of(made.world(), 1) == day_of(made.world(), 1)


def test_the_shop_of_a_data_set_too() -> None:
    made = of_data(table(), PLAN)
    assert 12 <= made.config.training.retrain_min_events <= 2 * 12 * 1.5


def test_each_world_begins_before_the_injection() -> None:
    for made in (made_up(SIZE, PLAN), of_data(table(), PLAN)):
        first = made.world()
        usual = first.prices().copy()
        day_of(first, 3)
        assert (first.prices() > usual).any()
        second = made.world()
        assert np.array_equal(second.prices(), usual)
