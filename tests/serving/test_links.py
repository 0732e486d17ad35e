from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.links import Landing, landing, linker, template_problem

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
TEMPLATES = [
    "https://shop.example/p/{item_id}",
    "http://shop.example/p/{item_id}?utm_source=mail#top",
    "https://shop.example/?item={item_id}&a=b",
    "https://shop.example/#/p/{item_id}",
]


@given(TEXT, TEXT, TEXT, st.integers(0, 999), st.sampled_from(TEMPLATES))
def test_an_opened_link_tells_which_list_led_there(
    user: str, item: str, request: str, position: int, template: str
) -> None:
    to = Landing(user, item, request, position)
    url = linker(template)(to)
    assert landing(url) == to
    assert landing(urlsplit(url).query) == landing("?" + urlsplit(url).query) == to
    assert urlsplit(url).hostname == "shop.example" and url.isascii()


def test_a_template_keeps_its_own_parameters_and_its_fragment() -> None:
    url = linker(TEMPLATES[1])(Landing("u 1", "a/b", "r.1", 2))
    assert url.startswith("http://shop.example/p/a%2Fb?utm_source=mail&sage_user=u%201&") and url.endswith("#top")
    assert parse_qs(urlsplit(url).query)["sage_request"] == ["r.1"]


@pytest.mark.parametrize(
    "url",
    [
        "", "https://shop.example/p/1", "?sage_user=u&sage_request=r&sage_item=i", "%", "https://[x",
        "?sage_user=u&sage_request=r&sage_item=i&sage_position=-1",
        "?sage_user=u&sage_request=&sage_item=i&sage_position=1",
        "?sage_user=u&sage_request=r&sage_item=i&sage_position=99999",
    ],
)  # fmt: skip
def test_another_address_is_none_of_ours(url: str) -> None:
    assert landing(url) is None


@pytest.mark.parametrize(
    "template",
    ["", "/p/{item_id}", "javascript:{item_id}", "https://{item_id}.example/", "https://shop.example/p/",
     "https://shop.example/{item_id}/{item_id}", "ftp://shop.example/{item_id}", "https://[/{item_id}"],
)  # fmt: skip
def test_what_makes_no_link_is_refused(template: str) -> None:
    assert template_problem(template)
    with pytest.raises(ValueError, match="no template"):
        linker(template)
