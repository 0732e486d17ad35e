import pytest
from django.conf import LazySettings
from django.test import Client
from pydantic import SecretStr, ValidationError

from serving.config import ServingConfig
from tests.serving.web.conftest import KEY

SHOP = "https://shop.example"


def share(settings: LazySettings, origins: str) -> None:
    settings.SERVING = ServingConfig(api_key=SecretStr(KEY), cors_origins=origins)


def preflight(web: Client, path: str, method: str, origin: str = SHOP) -> dict[str, str]:
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    return dict(web.options(path, headers=headers).headers)


def test_without_the_setting_nothing_is_shared(web: Client) -> None:
    answer = web.get("/trending/", headers={"Origin": SHOP})
    assert not [name for name in answer.headers if name.startswith("Access-Control") or name == "Vary"]
    assert "Access-Control-Allow-Origin" not in preflight(web, "/trending/", "GET")


def test_a_page_of_a_named_origin_reads_and_no_other(web: Client, settings: LazySettings) -> None:
    share(settings, f"{SHOP}, https://www.shop.example:8443")
    for path in ("/trending/", "/recommendations/ann/", "/items/apple/similar/"):
        answer = web.get(path, headers={"Origin": SHOP})
        assert (answer.headers["Access-Control-Allow-Origin"], answer.headers["Vary"]) == (SHOP, "Origin")
        other = web.get(path, headers={"Origin": "https://shop.example.evil"})
        assert "Access-Control-Allow-Origin" not in other.headers
        assert other.headers["Vary"] == "Origin"  # a cache must not give this answer to the shop


def test_an_error_is_shared_too_so_that_a_page_can_tell_it(web: Client, settings: LazySettings) -> None:
    share(settings, SHOP)
    answer = web.get("/trending/?k=x", headers={"Origin": SHOP})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (400, SHOP)


def test_every_origin_may_read_where_it_is_said(web: Client, settings: LazySettings) -> None:
    share(settings, "*")
    answer = web.get("/trending/", headers={"Origin": "https://anybody.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("/recommendations/ann/", "GET", True),
        ("/recommendations/", "POST", True),
        ("/seen/", "POST", True),
        ("/track/", "POST", True),
        ("/events/", "POST", False),
        ("/items/", "PUT", False),
        ("/items/apple/", "DELETE", False),
        ("/users/ann/", "GET", False),
        ("/retrain/", "POST", False),
        ("/dashboard/", "GET", False),
    ],
)
def test_a_preflight_is_answered_for_the_doors_of_pages_alone(
    web: Client, settings: LazySettings, path: str, method: str, allowed: bool
) -> None:
    share(settings, SHOP)
    found = preflight(web, path, method)
    assert (found.get("Access-Control-Allow-Origin") == SHOP) is allowed
    assert (found.get("Access-Control-Allow-Methods") == method) is allowed
    assert "Access-Control-Allow-Origin" not in preflight(web, path, method, "https://evil.example")


@pytest.mark.parametrize("origins", ["shop.example", "https://shop.example/", "https://a.example,ftp://b", "https://"])
def test_what_is_no_origin_is_refused_at_the_start(origins: str) -> None:
    with pytest.raises(ValidationError, match="origin"):
        ServingConfig(cors_origins=origins)
