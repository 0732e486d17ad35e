"""Gorse's files: types of feedback that are its own, hidden items, labels."""

from pathlib import Path

from stream.events import EventType
from tests.stream.sources.published import read, seconds, write


def test_feedback_with_and_without_values(tmp_path: Path) -> None:
    rows = "feedback_type,user_id,item_id,value,time_stamp\nread,50,10,0,2020-11-20 10:00:00\n"
    rows += "star,50,11,1,2020-11-20 10:05:00\nlike,51,11,3,2020-11-20 10:06:00\nfork,51,11,0,2020-11-20 10:06:00\n"
    valued = read("table", write(tmp_path / "valued.csv", rows))
    assert valued.forms == ["Gorse feedback"]
    assert [(e.event_type, e.value) for e in valued.events] == [
        (EventType.VIEW, None),
        (EventType.RATING, 5.0),
        (EventType.RATING, 3.0),
    ]
    assert valued.told[0] == ("50", "10", None, seconds(2020, 11, 20, 10))
    assert valued.reasons == [(5, "unknown type")]
    plain = "feedback_type,user_id,item_id,time_stamp\nstar,50,11,2020-11-20 10:05:00\n"
    assert [(e.event_type, e.value) for e in read("gorse", write(tmp_path / "f.csv", plain)).events] == [
        (EventType.RATING, 5.0)
    ]


def test_items_and_users(tmp_path: Path) -> None:
    items = write(
        tmp_path / "items.csv",
        'item_id,is_hidden,categories,time_stamp,labels,description\n10,0,"[""tea"",""hot""]",2020-11-20 10:00:00,'
        '"{""kind"":""x""}",Tea\n11,true,a|b,2020-11-20 10:00:00,{},Coffee\n',
    )
    users = write(tmp_path / "users.csv", 'user_id,labels\n50,"{""age"":30}"\n51,"[""vip""]"\n52,a|b\n53,\n')
    found = read("table", items, users)
    assert [(i.item_id, i.title, i.categories, i.available) for i in found.items] == [
        ("10", "Tea", ["tea", "hot"], True),
        ("11", "Coffee", ["a", "b"], False),
    ]
    assert [(u.user_id, u.attributes) for u in found.people] == [
        ("50", {"age": 30}),
        ("51", {"label.vip": True}),
        ("52", {"label.a": True, "label.b": True}),
    ]
