from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from pydantic import SecretStr

from serving.config import ServingConfig
from serving.web.authentication import is_key, may_read, shows, shows_key, trace_of

KEYS: dict[str, Any] = {
    "api_key": SecretStr("old"),
    "write_keys": SecretStr("new, newer"),
    "read_keys": SecretStr("reader"),
    "admin_key": SecretStr("chief"),
    "admin_keys": SecretStr("deputy"),
}


def shown(key: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("key", "roles"),
    [
        ("old", "write"), ("new", "write"), ("newer", "write"), ("reader", "read"), ("chief", "admin"),
        ("deputy", "admin"), ("", ""), ("new, newer", ""), ("ne", ""), ("\udcff", ""),
    ],
)  # fmt: skip
def test_each_of_several_keys_opens_the_doors_of_its_role_alone(settings: LazySettings, key: str, roles: str) -> None:
    settings.SERVING = ServingConfig(**KEYS)
    opened = [role for role in ("read", "write", "admin") if shows(shown(key), role)]
    assert " ".join(opened) == roles
    assert shows_key({"HTTP_X_API_KEY": key}) is (roles == "write")
    assert may_read(shown(key)) is bool(roles)


def test_an_empty_setting_is_no_key() -> None:
    config = ServingConfig(api_key=SecretStr(""), write_keys=SecretStr(" , "))
    assert config.keys_of("write") == ()
    assert not is_key(config, "", "write")


def test_without_keys_of_readers_everybody_reads(web: Client) -> None:
    assert web.get("/trending/").status_code == 200


def test_with_keys_of_readers_only_who_shows_a_key_reads(web: Client, settings: LazySettings) -> None:
    settings.SERVING = ServingConfig(**KEYS)
    for path in ("/trending/", "/recommendations/ann/", "/items/apple/similar/"):
        refused = web.get(path)
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        for key in ("reader", "new", "deputy"):
            assert web.get(path, **shown(key)).status_code == 200
    assert web.get("/api/schema/").status_code == 200


def test_a_reader_does_not_write_and_has_the_bounds_of_strangers(web: Client, settings: LazySettings) -> None:
    settings.SERVING = ServingConfig(**KEYS)
    assert web.post("/events/", b"{}", content_type="application/json", **shown("reader")).status_code == 401
    assert not shows_key(shown("reader"))


def test_only_who_shows_the_key_names_the_trace_of_a_request(settings: LazySettings) -> None:
    settings.SERVING = ServingConfig(**KEYS)
    named = {"HTTP_TRACEPARENT": "00-1-2-01"}
    assert trace_of({**named, **shown("new")}) == "00-1-2-01"
    assert trace_of({**named, **shown("reader")}) is None
    assert trace_of(named) is None
    assert trace_of(shown("new")) is None
