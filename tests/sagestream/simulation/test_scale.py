"""What is fitted to a small shop, and what stays as somebody chose it."""

from monitoring.config import MonitoringConfig
from sagestream.simulation.scale import ONE_FULL_RUN_SECONDS, QUICK_SAGE, scaled
from sagestream.simulation.shop import ShopConfig
from serving.config import ServingConfig
from training.config import SageConfig, TrainingConfig


def test_a_small_shop_trains_once_a_day() -> None:
    fitted = scaled(ShopConfig(TrainingConfig(), ServingConfig(), MonitoringConfig()), events_a_day=123.4)
    assert fitted.training.retrain_min_events == 123
    assert fitted.training.retrain_full_seconds == ONE_FULL_RUN_SECONDS
    assert fitted.training.sage == QUICK_SAGE


def test_what_somebody_chose_stays() -> None:
    sage = SageConfig(dim=8)
    training = TrainingConfig(retrain_min_events=7, sage=sage)
    monitoring = MonitoringConfig(monitor_interval_seconds=60)
    fitted = scaled(ShopConfig(training, ServingConfig(list_length=5), monitoring), events_a_day=1000)
    assert fitted.training.retrain_min_events == 7
    assert fitted.training.sage == sage
    assert fitted.monitoring.monitor_interval_seconds == 60
    assert fitted.serving.list_length == 5
