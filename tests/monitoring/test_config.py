"""Settings come from the environment, are frozen and bounded."""

import pytest
from pydantic import ValidationError

from monitoring.config import MonitoringConfig


def test_the_environment_sets_them(monkeypatch):
    monkeypatch.setenv("SAGESTREAM_DRIFT_QUIET_DAYS", "7")
    assert MonitoringConfig().drift_quiet_days == 7


def test_they_are_frozen_and_bounded():
    config = MonitoringConfig()
    with pytest.raises(ValidationError):
        config.drift_quiet_days = 1.0
    with pytest.raises(ValidationError):
        MonitoringConfig(drift_quiet_days=0)
