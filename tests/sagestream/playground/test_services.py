"""Settings of a playground: its own services first, never those that the environment names for a shop."""

from pathlib import Path

import pytest

from graphstore.config import GraphstoreConfig
from sagestream.playground.embedded import find_kafka
from sagestream.playground.processes import Supervisor
from sagestream.playground.run import ONCE_PACE
from sagestream.playground.services import PROCESSES, Given, configured, open_services
from sagestream.settings import foreign_variables
from stream.config import StreamConfig


def test_settings_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGESTREAM_DATABASE_URL", "postgresql://shop/db")
    assert configured(GraphstoreConfig, {}).database_url == "postgresql://shop/db"
    assert configured(GraphstoreConfig, {"database_url": ""}).sqlalchemy_url.startswith("sqlite:")


@pytest.mark.service
def test_a_playground_stands_on_its_own_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGESTREAM_DATABASE_URL", "postgresql://shop/db")
    monkeypatch.setenv("SAGESTREAM_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("SAGESTREAM_MONITOR_INTERVAL_SECONDS", "7")
    supervisor = Supervisor()
    services = open_services(
        tmp_path / "state",
        supervisor,
        Given(),
        web_port=1,
        pace=ONCE_PACE,
        environment={"SAGESTREAM_MONITOR_INTERVAL_SECONDS": "7"},
    )
    try:
        assert services.broker == "tansu"
        assert find_kafka({}) is None
        assert services.engine.dialect.name == "sqlite"
        assert services.config(StreamConfig).kafka_security_protocol == "PLAINTEXT"
        assert "monitor_interval_seconds" not in services.settings  # the environment's own word stands
        assert services.environment["SAGESTREAM_SCHEDULER_TICK_SECONDS"] == "2"
        assert len({services.port(verb) for verb in PROCESSES}) == len(PROCESSES)
        assert foreign_variables(services.environment) == []
        assert services.redis.ping()
    finally:
        services.close()
        assert supervisor.stop() == []
