import pytest
from pydantic import ValidationError

from serving.config import ServingConfig


def test_settings_come_from_the_environment_and_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGESTREAM_SERVE_PORT", "8123")
    monkeypatch.setenv("SAGESTREAM_ALLOWED_HOSTS", "shop.example, localhost")
    monkeypatch.setenv("SAGESTREAM_API_KEY", "hush")
    config = ServingConfig()
    assert config.serve_port == 8123
    assert config.hosts == ["shop.example", "localhost"]
    assert "hush" not in repr(config)
    with pytest.raises(ValidationError):
        config.serve_port = 1  # type: ignore[misc]


def test_nothing_binds_beyond_loopback_unless_told() -> None:
    assert ServingConfig().serve_host == "127.0.0.1"
