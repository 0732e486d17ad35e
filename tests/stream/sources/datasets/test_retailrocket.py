"""RetailRocket: events, and items put together from properties and the tree of categories."""

from pathlib import Path

import pytest

from stream.events import EventType
from stream.sources.files.compressed import UnreadableFile, changed_at
from tests.stream.sources.published import read, write

EVENTS = (
    "timestamp,visitorid,event,itemid,transactionid\n"
    "1433221332117,257597,view,355908,\n"
    "1433224214164,992329,addtocart,248676,\n"
    "1433222276276,599528,transaction,356475,4000\n"
    "1433222276276,599528,stare,356475,\n"
)


def test_events_and_items(tmp_path: Path) -> None:
    write(tmp_path / "events.csv", EVENTS)
    write(tmp_path / "category_tree.csv", "categoryid,parentid\n1016,213\n213,\n7,8\n8,7\n")
    header = "timestamp,itemid,property,value\n"
    write(
        tmp_path / "item_properties_part1.csv",
        f"{header}1435460400000,460429,categoryid,1016\n1435460400000,460429,888,1116713 960601 n277.200\n"
        "1435460400000,460429,available,0\n1435460400000,5,categoryid,7\n",
    )
    write(
        tmp_path / "item_properties_part2.csv",
        f"{header}1435460500000,460429,available,1\n1435460300000,460429,categoryid,8\n1435460300000,6,available,0\n"
        "never,6,available,1\n",
    )
    found = read("retailrocket", tmp_path)
    assert [(event.event_type, event.user_id, event.item_id) for event in found.events] == [
        (EventType.VIEW, "257597", "355908"),
        (EventType.CART, "992329", "248676"),
        (EventType.PURCHASE, "599528", "356475"),
    ]
    assert [event.order_id for event in found.events] == [None, None, "4000"]
    assert sorted((item.item_id, item.categories, item.available) for item in found.items) == [
        ("460429", ["213", "1016"], True),
        ("5", ["8", "7"], True),
        ("6", [], False),
    ]
    assert {item.event_time for item in found.items} == {changed_at(*tmp_path.iterdir())}
    assert sorted(found.reasons) == [(5, "no time"), (5, "unknown type")]


def test_events_alone_with_the_columns_renamed(tmp_path: Path) -> None:
    found = read("retailrocket", write(tmp_path / "e.csv", "user,item,event,ts\n1176,6768,view,1430623510\n"))
    assert found.told == [("1176", "6768", None, 1430623510)]


def test_another_file_is_none(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no RetailRocket file"):
        read("retailrocket", write(tmp_path / "f.csv", "user,item\nu,i\n"))


def test_headers_in_another_case(tmp_path: Path) -> None:
    properties = write(tmp_path / "p.csv", "Timestamp,ItemId,Property,Value\n1435460400000,460429,categoryid,1016\n")
    tree = write(tmp_path / "t.csv", "CategoryId,ParentId\n1016,213\n")
    assert [(item.item_id, item.categories) for item in read("retailrocket", properties, tree).items] == [
        ("460429", ["213", "1016"])
    ]
