import pytest
from redis import Redis

from tests.serving.slots.small_shop import Shop, opened


@pytest.fixture
def shop(redis: Redis) -> Shop:
    return opened(redis)
