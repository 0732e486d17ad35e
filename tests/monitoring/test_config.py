"""Settings come from the environment, are frozen and bounded."""

import pytest
from pydantic import ValidationError

from monitoring.config import MonitoringConfig


def test_the_environment_sets_them(monkeypatch):
    monkeypatch.setenv("SAGESTREAM_DRIFT_PSI", "0.5")
    assert MonitoringConfig().drift_psi == 0.5


def test_they_are_frozen_and_bounded():
    config = MonitoringConfig()
    with pytest.raises(ValidationError):
        config.drift_psi = 1.0
    with pytest.raises(ValidationError):
        MonitoringConfig(drift_share=1.5)
