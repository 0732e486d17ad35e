import pytest
from django.conf import LazySettings
from django.test import Client

from serving.config import ServingConfig
from serving.web import demo


@pytest.mark.parametrize(
    ("origins", "host", "api"),
    [
        ("http://localhost:8000", "localhost:8000", "http://127.0.0.1:8000"),
        ("*", "127.0.0.1:8000", "http://localhost:8000"),
        ("http://localhost:8000", "127.0.0.1:8000", "http://127.0.0.1:8000"),  # not shared with this one
        ("", "localhost:8000", "http://localhost:8000"),
    ],
)
def test_the_tag_comes_from_another_origin_where_it_may(
    web: Client, settings: LazySettings, origins: str, host: str, api: str
) -> None:
    settings.SERVING = ServingConfig(shop_page=True, cors_origins=origins)
    answer = web.get("/demo/", headers={"Host": host})
    text = answer.content.decode()
    assert f'<script src="{api}/tag.js"' in text
    policy = answer["Content-Security-Policy"]
    assert policy == demo.policy_for(api)
    assert "default-src 'none'" in policy
    assert f"connect-src {api};" in policy
    assert "<script>" not in text
    assert "style=" not in text


def test_an_item_has_a_page_and_its_id_is_escaped(web: Client) -> None:
    text = web.get("/demo/?item=apple").content.decode()
    assert "<h1>Apple</h1>" in text
    assert 'data-item="apple"' in text
    strange = web.get("/demo/", {"item": "\"><script>'"}).content.decode()
    assert "<script>'" not in strange
    assert "Good morning" in strange  # nobody knows such an item


def test_the_page_is_off_unless_asked_for(web: Client, settings: LazySettings) -> None:
    settings.SERVING = ServingConfig()
    assert web.get("/demo/").status_code == 404
