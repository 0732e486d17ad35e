import re
from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from django.test import Client
from pydantic import SecretStr

from serving.config import ServingConfig
from serving.web.dashboard import login
from serving.web.limits import TokenBuckets

ADMIN_KEY = "only for the operator"


@pytest.fixture
def stranger(web: Client, settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A browser that checks forms, on a web process with an operator's key, and with no attempt made."""
    settings.SERVING = ServingConfig(admin_key=SecretStr(ADMIN_KEY), shop_page=True)
    monkeypatch.setattr(login, "attempts", TokenBuckets(0.001, burst_seconds=10_000.0))
    yield Client(enforce_csrf_checks=True)


@pytest.fixture
def operator(stranger: Client) -> Client:
    """The same browser, logged in."""
    assert log_in(stranger).status_code == 303
    return stranger


def form_token(client: Client, path: str) -> str:
    """The token of the form on a page."""
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(path).content.decode())
    assert found
    return found[1]


def log_in(client: Client, key: str = ADMIN_KEY, target: str = "", **headers: str):  # type: ignore[no-untyped-def]
    token = form_token(client, "/dashboard/login/")
    return client.post("/dashboard/login/", {"key": key, "next": target, "csrfmiddlewaretoken": token}, headers=headers)
