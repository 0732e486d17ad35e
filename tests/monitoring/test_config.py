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


def test_alarms_are_signed_and_neither_url_nor_secret_is_shown():
    url, secret = "https://example.org/token", "a secret of sixteen"
    config = MonitoringConfig(alarm_webhook=url, alarm_secret=secret)
    assert config.alarm_webhook.get_secret_value() == url
    assert "token" not in repr(config) and secret not in repr(config)
    for wrong in ({"alarm_webhook": url}, {"alarm_webhook": "ftp://h/token", "alarm_secret": secret}):
        with pytest.raises(ValidationError) as told:
            MonitoringConfig(**wrong)
        assert all("token" not in error["msg"] for error in told.value.errors())
    with pytest.raises(ValidationError):
        MonitoringConfig(alarm_secret="short")
