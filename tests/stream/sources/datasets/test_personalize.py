"""Personalize: interactions, items and users by their names in capitals."""

from pathlib import Path

from stream.events import EventType
from tests.stream.sources.published import read, write


def test_the_three_files_in_one_call(tmp_path: Path) -> None:
    interactions = write(
        tmp_path / "interactions.csv",
        "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n35,ab-1,1607352000,click,0.5\n54,ab-2,1607353000,Purchase,12\n"
        "54,ab-1,1607353001,Watch,\n",
    )
    items = write(
        tmp_path / "items.csv",
        "ITEM_ID,CREATION_TIMESTAMP,CATEGORY_L1,PRICE,GENRES,PRODUCT_DESCRIPTION\n"
        "ab-1,1570003267,Shoes,12.50,Comedy|Action,A shoe\n",
    )
    users = write(tmp_path / "users.csv", "USER_ID,AGE,GENDER,ZIP\n35,30,F,01234\n36,,,\n")
    found = read("personalize", interactions, items, users)
    assert found.forms == ["Personalize interactions", "Personalize items", "Personalize users"]
    assert [(e.event_type, *told) for e, told in zip(found.events, found.told, strict=True)] == [
        (EventType.CLICK, "35", "ab-1", 0.5, 1607352000),
        (EventType.PURCHASE, "54", "ab-2", 12.0, 1607353000),
        (EventType.VIEW, "54", "ab-1", None, 1607353001),
    ]
    assert [(i.item_id, i.title, i.price, i.categories) for i in found.items] == [
        ("ab-1", "A shoe", 12.5, ["Comedy", "Action", "Shoes"])
    ]
    assert [(u.user_id, u.attributes) for u in found.people] == [("35", {"age": 30, "gender": "F", "zip": "01234"})]
