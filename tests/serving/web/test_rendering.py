import json
from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest
from msgspec import structs

from serving.evidence import ItemEvidence, Path
from serving.recommend import Recommendation, ShownItem
from serving.web.rendering import JsonAlways, OrjsonRenderer, written

ITEM = ShownItem("apple", 0, 1.5, "Äpfel", ["food"], "", None, "", "", None, "batch", 1.0, None)
SERVED = Recommendation(
    "r", "ann", "home", "m1", "champion", "batch", datetime(2026, 3, 1, tzinfo=UTC), None, [ITEM, ITEM]
)


def test_lists_and_times_become_json() -> None:
    body = json.loads(OrjsonRenderer().render(SERVED))
    assert list(body) == [field.name for field in fields(Recommendation)]
    assert body["as_of"] == "2026-03-01T00:00:00+00:00"
    assert list(body["items"][0]) == list(ShownItem.__struct_fields__)
    assert body["items"][0]["title"] == "Äpfel"
    assert body["items"][0]["price"] is None


def test_a_list_is_written_alike_alone_and_among_others() -> None:
    alone, among = written(SERVED), written({"lists": {"home": SERVED}})
    assert among == b'{"lists":{"home":' + alone + b"}}"


def test_the_evidence_of_an_item_is_written() -> None:
    evidence = ItemEvidence({"repeat": 1.5}, [], Path("bread", 3), ("boost",))
    body = json.loads(written(replace(SERVED, items=[structs.replace(ITEM, evidence=evidence)])))
    path = {"item_id": "bread", "shoppers": 3}
    assert body["items"][0]["evidence"] == {"terms": {"repeat": 1.5}, "because": [], "path": path, "rules": ["boost"]}


def test_what_has_no_json_is_an_error() -> None:
    with pytest.raises(TypeError):
        written({"what": object()})


def test_nothing_to_say_is_an_empty_body() -> None:
    assert OrjsonRenderer().render(None) == b""


def test_json_whatever_is_accepted() -> None:
    renderer = OrjsonRenderer()
    assert JsonAlways().select_renderer(None, [renderer]) == (renderer, "application/json")  # type: ignore[arg-type]
