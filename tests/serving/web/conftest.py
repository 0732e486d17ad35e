from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.conf import LazySettings
from django.test import Client
from pydantic import SecretStr
from redis import Redis

from graphstore.config import GraphstoreConfig
from serving.config import ServingConfig
from serving.web import services, shop
from stream.config import StreamConfig
from tests.serving.toy import fill_redis

if TYPE_CHECKING:
    from tests.serving.web.test_views import Post

KEY = "open sesame"


@pytest.fixture
def web(
    settings: LazySettings, redis: Redis, redis_url: str, kafka_away: StreamConfig, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    """The web process on the toy model; no broker, unless a test points STREAM at one."""
    services.close()
    monkeypatch.setattr(shop, "SHOPPERS_SECONDS", 0.0)  # no list of another test
    settings.SERVING = ServingConfig(api_key=SecretStr(KEY), shop_page=True, ranker_url="")
    settings.POINTER_SECONDS = settings.ITEM_SECONDS = 0.0
    settings.DELIVERY_SECONDS = 20.0
    settings.MAX_POSTED_EVENTS = 3
    settings.GRAPHSTORE = GraphstoreConfig(redis_url=redis_url)
    settings.STREAM = kafka_away
    fill_redis(redis)
    yield Client()
    services.close()


@pytest.fixture
def key() -> dict[str, str]:
    return {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def post(web: Client, monkeypatch: pytest.MonkeyPatch) -> "Post":
    """The outbox of the web process, which keeps what it gets."""
    from tests.serving.web.test_views import Post  # late: it imports this module

    made = Post()
    monkeypatch.setattr(services, "outbox", lambda: made)
    return made
