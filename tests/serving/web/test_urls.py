import pytest
from django.conf import LazySettings
from django.test import Client

from graphstore.config import GraphstoreConfig
from serving.web import services
from serving.web.criteria import ATTRIBUTE, CRITERIA


def test_every_error_is_json(web: Client) -> None:
    answer = web.get("/nowhere/")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/json")
    assert answer.json()["detail"] == "nothing at /nowhere/"


def test_wrong_requests_do_not_fill_the_log(
    web: Client, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("/nowhere/", "/recommendations/ann/?k=0", "/events/"):
        assert web.get(path).status_code in (400, 401, 404)
    assert web.get("/trending/", headers={"Host": "evil.example"}).status_code == 400
    assert caplog.records == []
    services.close()
    settings.GRAPHSTORE = GraphstoreConfig(redis_url="redis://127.0.0.1:1/0")
    assert {web.get("/trending/").status_code for _ in range(20)} == {503}
    assert len(caplog.records) <= 1


def test_a_host_that_is_not_ours_is_refused(web: Client) -> None:
    for path in ("/trending/", "/recommendations/ann/", "/", "/nowhere/"):
        assert web.get(path, headers={"Host": "evil.example"}).status_code == 400
    assert web.get("/trending/", headers={"Host": "127.0.0.1:8000"}).status_code == 200
    assert web.get("/healthz", headers={"Host": "10.0.0.7:8000"}).status_code == 200


def test_the_api_is_described(web: Client) -> None:
    schema = web.get("/api/schema/").json()
    assert schema["openapi"].startswith("3.1")
    assert set(schema["paths"]) == {
        "/best-sellers/",
        "/categories/",
        "/categories/{category}/items/",
        "/erasures/{receipt}/",
        "/events/",
        "/events/cloudevents/",
        "/events/ga4/",
        "/events/segment/",
        "/identities/",
        "/items/",
        "/items/stock/",
        "/items/{item_id}/",
        "/items/{item_id}/bought-together/",
        "/items/{item_id}/similar/",
        "/recommendations/",
        "/recommendations/{user_id}/",
        "/retrain/",
        "/seen/",
        "/track/",
        "/trending/",
        "/users/{user_id}/",
        "/users/{user_id}/export/",
        "/users/{user_id}/token/",
    }
    names = {parameter["name"] for parameter in schema["paths"]["/recommendations/{user_id}/"]["get"]["parameters"]}
    assert names - CRITERIA == {"user_id", "k", "slot", "confirmed", "explain", "item", "cart", "session"}
    assert names > CRITERIA - {ATTRIBUTE}


def test_the_description_says_which_key_opens_a_door(web: Client) -> None:
    paths = web.get("/api/schema/").json()["paths"]
    keys = {
        (path, method): operation.get("security", "open")
        for path, door in paths.items()
        for method, operation in door.items()
    }
    assert keys["/events/", "post"] == keys["/items/{item_id}/", "put"] == [{"apiKey": []}]
    assert keys["/retrain/", "post"] == keys["/users/{user_id}/", "delete"] == [{"adminKey": []}]
    assert keys["/recommendations/{user_id}/", "get"] == keys["/items/{item_id}/", "get"] == [{}, {"readKey": []}]
    assert keys["/seen/", "post"] == keys["/track/", "post"] == "open"


def test_the_description_says_which_body_must_be_there(web: Client) -> None:
    paths = web.get("/api/schema/").json()["paths"]
    bodies = {
        (path, method): operation["requestBody"].get("required", False)
        for path, door in paths.items()
        for method, operation in door.items()
        if "requestBody" in operation
    }
    assert not bodies["/retrain/", "post"]  # an empty object would do
    for door in [("/events/", "post"), ("/seen/", "post"), ("/items/", "put"), ("/items/{item_id}/", "put")]:
        assert bodies[door], door


def test_its_page_loads_nothing_from_elsewhere(web: Client) -> None:
    answer = web.get("/api/docs/")
    assert answer.status_code == 200
    assert b"//cdn" not in answer.content
    assert b"drf_spectacular_sidecar" in answer.content


@pytest.mark.parametrize("path", ["/healthz", "/", "/recommendations/ann/", "/nowhere/"])
def test_no_answer_may_be_mistaken_for_another_type(web: Client, path: str) -> None:
    assert web.get(path)["X-Content-Type-Options"] == "nosniff"
