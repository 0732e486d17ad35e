"""Amazon's files in the exact forms in which they were published."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from stream.events import EventType
from stream.sources.files.compressed import UnreadableFile
from tests.stream.sources.published import read, write

USER_2023 = "AFKZENTNBQ7A7V7UXW5JJI6UGRYQ"
RATINGS_2023 = (
    "user_id,parent_asin,rating,timestamp,history\n"
    f"{USER_2023},B01CUPMQZE,5.0,1472850556000,\n"
    f"{USER_2023},B097R46CSY,1.0,1631885519000,B01CUPMQZE B07KRWJCQW\n"
)
REVIEW_2023 = {
    "rating": 5.0,
    "title": "Such a lovely scent",
    "text": 'This spray is really nice.<br />It smells, well, "nice".',
    "images": [{"small_image_url": "https://m.media-amazon.com/images/I/81.jpg", "attachment_type": "IMAGE"}],
    "asin": "B00YQ6X8EO",
    "parent_asin": "B00YQ6X8EP",
    "user_id": USER_2023,
    "timestamp": 1588687728923,
    "helpful_vote": 0,
    "verified_purchase": True,
}
ITEM_2023 = {
    "main_category": "All Beauty",
    "title": "Howard LC0008 Leather Conditioner &amp; Cleaner",
    "average_rating": 4.8,
    "rating_number": 10,
    "features": [],
    "description": ["Cleans", "Conditions"],
    "price": None,
    "images": [{"thumb": "https://m.media-amazon.com/images/I/41.jpg", "variant": "MAIN"}],
    "videos": [],
    "store": "Howard Products",
    "categories": ["Beauty & Personal Care", "Leather Care"],
    "details": {"Package Dimensions": "7.1 x 5.5 x 3 inches; 2.38 Pounds", "UPC": "617390882781"},
    "parent_asin": "B01CUPMQZE",
    "bought_together": None,
}
REVIEW_2018 = {
    "overall": 4.0,
    "vote": "2",
    "verified": True,
    "reviewTime": "01 1, 2018",
    "reviewerID": "A3QHJ0FXK33OBE",
    "asin": "B00006IGPC",
    "style": {"Size:": " Large"},
    "reviewerName": "W. Shane",
    "reviewText": "Good",
    "summary": "Four Stars",
    "unixReviewTime": 1514764800,
}
ITEM_2018 = {
    "category": ["Industrial & Scientific", "Tapes"],
    "tech1": "",
    "description": ["A tape"],
    "title": "Scotch Tape",
    "also_buy": ["B0000AXTQK"],
    "brand": "Scotch",
    "rank": "3,402 in Industrial",
    "main_cat": "Industrial",
    "price": "$1.23",
    "asin": "B00006IGPC",
}
REVIEW_2014 = {
    "reviewerID": "A2IBPI20UZIR0U",
    "asin": "1384719342",
    "reviewerName": 'cassandra tu "Yeah, well"',
    "helpful": [0, 0],
    "reviewText": "Not much to write about here",
    "overall": 5.0,
    "summary": "good",
    "unixReviewTime": 1393545600,
    "reviewTime": "02 28, 2014",
}


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("packed", [False, True])
def test_ratings_of_2023(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "All_Beauty.train.csv.gz"
    path.write_bytes(gzip.compress(RATINGS_2023.encode()) if packed else RATINGS_2023.encode())
    found = read("amazon", path)
    assert found.forms == ["Amazon ratings of 2023"]
    assert found.told == [
        (USER_2023, "B01CUPMQZE", 5.0, 1472850556),
        (USER_2023, "B097R46CSY", 1.0, 1631885519),
    ]
    assert {event.event_type for event in found.events} == {EventType.RATING}


def test_reviews_and_metadata_of_2023(tmp_path: Path) -> None:
    reviews = lines(tmp_path / "All_Beauty.jsonl", REVIEW_2023)
    prices = [14.5, "14.5", "None", "from 12.99", None, "—"]
    meta = lines(
        tmp_path / "meta_All_Beauty.jsonl",
        *({**ITEM_2023, "parent_asin": f"B{place}", "price": price} for place, price in enumerate(prices)),
    )
    found = read("amazon", reviews, meta)
    assert found.forms == ["Amazon reviews of 2023", "Amazon metadata of 2023"]
    assert found.told == [(USER_2023, "B00YQ6X8EP", 5.0, 1588687728)]
    assert [item.price for item in found.items] == [14.5, 14.5, None, 12.99, None, None]
    first = found.items[0]
    assert (first.title, first.brand) == ("Howard LC0008 Leather Conditioner & Cleaner", "Howard Products")
    assert first.categories == ["All Beauty", "Beauty & Personal Care", "Leather Care"]
    assert found.rejected == []


def test_reviews_and_metadata_of_2018(tmp_path: Path) -> None:
    bare = {key: value for key, value in REVIEW_2018.items() if key not in ("vote", "style")}
    found = read("amazon", lines(tmp_path / "r.json", REVIEW_2018, bare), lines(tmp_path / "m.json", ITEM_2018))
    assert found.forms == ["Amazon reviews of 2018", "Amazon metadata of 2018"]
    assert found.told == [("A3QHJ0FXK33OBE", "B00006IGPC", 4.0, 1514764800)] * 2
    (item,) = found.items
    assert (item.title, item.brand, item.price) == ("Scotch Tape", "Scotch", 1.23)
    assert item.categories == ["Industrial & Scientific", "Tapes"]


def test_reviews_ratings_and_literal_metadata_of_2014(tmp_path: Path) -> None:
    meta = (
        "{'asin': '1384719342', 'title': 'Pop Filter', 'price': 12.5, 'imUrl': 'http://e.com/a.jpg',"
        " 'related': {'also_bought': ['B00062']}, 'salesRank': {'Music': 7}, 'brand': \"D'Addario\","
        " 'categories': [['Musical Instruments', 'Microphones']]}\n"
    )
    found = read(
        "amazon",
        lines(tmp_path / "reviews_5.json", REVIEW_2014),
        write(
            tmp_path / "ratings.csv",
            "reviewerID,asin,overall,unixReviewTime\nA14VAT5EAX3D9S,1384719342,5.0,1363392000\n",
        ),
        write(tmp_path / "meta.json", meta),
    )
    assert found.forms == ["Amazon reviews of 2014", "Amazon ratings of 2014", "Amazon metadata of 2014"]
    assert found.told == [
        ("A2IBPI20UZIR0U", "1384719342", 5.0, 1393545600),
        ("A14VAT5EAX3D9S", "1384719342", 5.0, 1363392000),
    ]
    (item,) = found.items
    assert (item.title, item.brand, item.price) == ("Pop Filter", "D'Addario", 12.5)
    assert item.categories == ["Musical Instruments", "Microphones"]


@pytest.mark.parametrize(
    ("row", "form"),
    [
        ("A3EBHHCZO6V2A4,5555991584,5.0,978480000", "Amazon ratings of 2014, without a header"),
        ("5555991584,A3EBHHCZO6V2A4,5.0,978480000", "Amazon ratings of 2018, without a header"),
    ],
)
def test_without_a_header_the_ids_tell_user_and_item(tmp_path: Path, row: str, form: str) -> None:
    found = read("amazon", write(tmp_path / "ratings.csv", f"{row}\n" * 3))
    assert found.forms == [form]
    assert found.told == [("A3EBHHCZO6V2A4", "5555991584", 5.0, 978480000)] * 3


def test_ids_that_tell_nothing_are_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="import table --columns"):
        read("amazon", write(tmp_path / "ratings.csv", "2836,2645,5,1386201600\n"))


def test_another_file_is_no_amazon_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no Amazon file: it has colour"):
        read("amazon", write(tmp_path / "f.csv", "colour,size\nred,1\n"))
