"""REES46: events, what is passed over, and the items of the same rows."""

from pathlib import Path

from stream.events import EventType, milliseconds
from stream.sources.options import SourceOptions
from tests.stream.sources.published import read, seconds, write

HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
ROWS = (
    "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde\n"
    "2019-10-01 00:00:05 UTC,cart,1004856,2053013555631882655,electronics.smartphone,samsung,130.76,541312140,7\n"
    "2019-10-01 00:00:09 UTC,remove_from_cart,1004856,2053013555631882655,electronics.smartphone,samsung,130.76,5,7\n"
    "2019-10-01 00:01:00 UTC,purchase,1004856,2053013555631882655,electronics.smartphone,samsung,120.00,541312140,72d\n"
    "2019-10-01 00:02:00 UTC,view,9,2053013555631882655,a.b,x,1.00,,72d\n"
)


def test_events_and_what_means_none(tmp_path: Path) -> None:
    found = read("table", write(tmp_path / "2019-Oct.csv", HEADER + ROWS), options=SourceOptions(times_needed=True))
    assert found.forms == ["REES46 events"]
    assert [(e.event_type, *told) for e, told in zip(found.events, found.told, strict=True)] == [
        (EventType.VIEW, "541312140", "44600062", 35.79, seconds(2019, 10, 1)),
        (EventType.CART, "541312140", "1004856", 130.76, seconds(2019, 10, 1, 0, 0, 5)),
        (EventType.PURCHASE, "541312140", "1004856", 120.0, seconds(2019, 10, 1, 0, 1)),
    ]
    assert found.reasons == [(6, "no user")]
    assert found.understood[0].as_json()["passed_over"] == {"remove_from_cart": 1}
    assert "passed over: 1 remove_from_cart" in found.understood[0].found()


def test_items_are_as_the_newest_row_says_and_no_row_that_was_refused_makes_one(tmp_path: Path) -> None:
    found = read("rees46", write(tmp_path / "2019-Oct.csv", HEADER + ROWS))
    assert [(i.item_id, i.categories, i.brand, i.price, milliseconds(i.event_time) // 1000) for i in found.items] == [
        ("44600062", [], "shiseido", 35.79, seconds(2019, 10, 1)),
        ("1004856", ["electronics", "smartphone"], "samsung", 120.0, seconds(2019, 10, 1, 0, 1)),
    ]
