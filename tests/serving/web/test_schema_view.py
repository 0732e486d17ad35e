"""The description of the API is made once, and takes no parameters."""

import os
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from serving.web import services

ADDRESS = "/api/schema/"


def test_the_description_is_made_once(web: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    first = web.get(ADDRESS)

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError

    monkeypatch.setattr(SchemaGenerator, "get_schema", never)
    again = web.get(ADDRESS)
    assert again.content == first.content
    assert first["Content-Type"] == again["Content-Type"] == "application/vnd.oai.openapi+json"
    assert first.json()["openapi"] == "3.1.0"


def test_it_follows_the_slots(web: Client, settings: LazySettings, tmp_path: Path) -> None:
    file = tmp_path / "slots.toml"
    file.write_text("[shelf]\n")
    settings.SERVING = settings.SERVING.model_copy(update={"slots_file": file})
    services.close()
    assert "shelf" in web.get(ADDRESS).content.decode()
    file.write_text("[vitrine]\n")
    os.utime(file, (1, 1))
    services.slot_book()._looked_at = float("-inf")
    found = web.get(ADDRESS).content.decode()
    assert ("vitrine" in found, "shelf" in found) == (True, False)


@pytest.mark.parametrize("query", ["version=%0D%0AX:1", "version=2", "lang=de", "format=json"])
def test_parameters_are_refused(web: Client, query: str) -> None:
    answer = web.get(f"{ADDRESS}?{query}")
    assert (answer.status_code, answer.json()["field"]) == (400, query.partition("=")[0])
