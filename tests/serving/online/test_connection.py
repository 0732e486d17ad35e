"""The address of a door."""

import pytest

from serving.online.connection import DoorAddress, door_of


@pytest.mark.parametrize(
    ("url", "door"),
    [
        ("http://127.0.0.1:8001", DoorAddress("127.0.0.1", 8001)),
        ("http://ranker:8001/", DoorAddress("ranker", 8001)),
        ("http://[::1]:9", DoorAddress("::1", 9)),
        ("http://ranker", DoorAddress("ranker", 80)),
    ],
)
def test_a_url_names_host_and_port(url: str, door: DoorAddress) -> None:
    assert door_of(url) == door


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8001", "https://ranker:8001", "http://", "http://r/rank", "http://u:p@r:1", "http://r:99999"]
)
def test_any_other_form_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="the URL of a ranker is http, a host and a port"):
        door_of(url)
