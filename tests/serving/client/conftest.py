from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from pydantic import SecretStr

from serving.client import Sagestream
from serving.config import OFF, ServingConfig
from serving.web.authentication import shows_key
from serving.web.gateway import Gateway
from serving.web.limits import TokenBuckets
from serving.web.wsgi import application
from tests.serving.web.conftest import KEY, post, web
from tests.serving.web.running import running
from tests.serving.web.test_views import Post

__all__ = ["post", "web"]

CHIEF = "chief"


@pytest.fixture
def url(settings: LazySettings, post: Post) -> Iterator[str]:
    """The web server on real sockets, with the toy model in a real Redis and an outbox that keeps what it gets."""
    settings.SERVING = ServingConfig(api_key=SecretStr(KEY), admin_key=SecretStr(CHIEF), ranker_url=OFF)
    with running(Gateway(application, threads=4, rate=TokenBuckets(0), unlimited=shows_key)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def shop(url: str) -> Iterator[Sagestream]:
    with Sagestream(url, KEY) as made:
        yield made


@pytest.fixture
def operator(url: str) -> Iterator[Sagestream]:
    with Sagestream(url, CHIEF) as made:
        yield made
