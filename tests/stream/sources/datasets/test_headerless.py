"""Files without a header, by the form of their first line."""

from pathlib import Path

import pytest

from stream.events import EventType
from stream.sources.datasets.headerless import form_of
from tests.stream.sources.published import read, seconds, write


def test_clicks_of_yoochoose(tmp_path: Path) -> None:
    rows = (
        "1,2014-04-07T10:51:09.277Z,214536502,0\n1,2014-04-07T10:54:09.868Z,214536500,S\n2,2014-04-07T11:00:00Z,7,12\n"
    )
    found = read("table", write(tmp_path / "yoochoose-clicks.dat", rows))
    assert found.forms == ["YooChoose clicks"]
    assert {event.event_type for event in found.events} == {EventType.CLICK}
    assert found.told == [
        ("1", "214536502", None, seconds(2014, 4, 7, 10, 51, 9)),
        ("1", "214536500", None, seconds(2014, 4, 7, 10, 54, 9)),
        ("2", "7", None, seconds(2014, 4, 7, 11)),
    ]
    # An item of which nothing is known would only take the titles of a catalogue away.
    assert [(item.item_id, item.categories) for item in found.items] == [("7", ["12"])]


def test_buys_of_yoochoose_with_unknown_prices(tmp_path: Path) -> None:
    rows = "420374,2014-04-06T18:44:58.314Z,214537888,12462,1\n281626,2014-04-06T09:40:13.032Z,214535653,0,0\n"
    found = read("yoochoose", write(tmp_path / "yoochoose-buys.dat", rows))
    assert [(e.event_type, e.value, e.quantity) for e in found.events] == [
        (EventType.PURCHASE, 12462.0, 1),
        (EventType.PURCHASE, None, None),
    ]


def test_taobao(tmp_path: Path) -> None:
    rows = "1,2268318,2520377,pv,1511544070\n1,2333346,2520771,fav,1511561733\n1,2576651,149192,cart,1511572885\n"
    found = read("table", write(tmp_path / "UserBehavior.csv", rows + "1,3830808,4181361,buy,1511593493\n"))
    assert [(e.event_type, e.item_id) for e in found.events] == [
        (EventType.VIEW, "2268318"),
        (EventType.CLICK, "2333346"),
        (EventType.CART, "2576651"),
        (EventType.PURCHASE, "3830808"),
    ]
    assert found.told[0] == ("1", "2268318", None, 1511544070)
    assert found.items[0].categories == ["2520377"]


@pytest.mark.parametrize("line", ["1,2,3,look,1511544070", "user,item", "1,2,5,1393545600", "1,2,3,pv"])
def test_another_first_line_is_none_of_them(line: str) -> None:
    assert form_of(line.split(",")) is None
