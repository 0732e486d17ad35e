"""Settings that reach nobody but the test's own services."""

from pathlib import Path

import pytest
from redis import Redis

from sagestream.playground.embedded import LOOPBACK, free_port


@pytest.fixture
def settings(tmp_path: Path, redis: Redis, redis_url: str) -> dict[str, str]:
    """A state directory and a Redis of the test's own, and a broker that nobody runs."""
    nobody = f"{LOOPBACK}:{free_port()}"
    return {"STATE_DIR": str(tmp_path / "state"), "REDIS_URL": redis_url, "KAFKA_BOOTSTRAP_SERVERS": nobody}
