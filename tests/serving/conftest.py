import pytest

from stream.config import StreamConfig


@pytest.fixture
def kafka_away() -> StreamConfig:
    """Settings that reach no broker."""
    return StreamConfig(kafka_bootstrap_servers="127.0.0.1:1", producer_idempotent=False)
