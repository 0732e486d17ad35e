import json
from datetime import UTC, datetime

from serving.evidence import ItemEvidence, Path
from serving.recommend import Recommendation, ShownItem
from serving.web.rendering import JsonAlways, OrjsonRenderer


def test_dataclasses_and_times_become_json() -> None:
    evidence = ItemEvidence({"trend": 0.5}, [], Path("bread", 3), ("boost",))
    item = ShownItem("apple", 0, 1.5, "Äpfel", ["food"], "", None, "", "", None, "batch", 1.0, evidence)
    time = datetime(2026, 3, 1, tzinfo=UTC)
    served = Recommendation("r", "ann", "home", "m1", "champion", "batch", time, None, [item])
    body = json.loads(OrjsonRenderer().render(served))
    assert body["items"][0]["evidence"]["path"] == {"item_id": "bread", "shoppers": 3}
    assert body["as_of"] == "2026-03-01T00:00:00+00:00"
    assert body["items"][0]["title"] == "Äpfel"
    assert body["items"][0]["price"] is None


def test_nothing_to_say_is_an_empty_body() -> None:
    assert OrjsonRenderer().render(None) == b""


def test_json_whatever_is_accepted() -> None:
    renderer = OrjsonRenderer()
    assert JsonAlways().select_renderer(None, [renderer]) == (renderer, "application/json")  # type: ignore[arg-type]
