"""Files of items: columns guessed, categories of every form, bounds of an event kept."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stream.events import EARLIEST, MAX_TEXT_LENGTH, CatalogItem, decode, encode, utc
from stream.sources.catalogue import items_part, read_items
from stream.sources.files.compressed import UnreadableFile
from stream.sources.item_entries import MAX_CATEGORIES, category_names
from stream.sources.source import Reading, Source


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def only(path: Path) -> CatalogItem:
    (item,), _ = read_items(path)
    return item


def test_amazon_metadata_lines(tmp_path: Path) -> None:
    line = {
        "main_category": "All Beauty",
        "title": "Howard Leather Cream",
        "price": 14.5,
        "features": [],
        "description": ["Cleans"],
        "store": "Howard",
        "categories": ["Beauty & Personal Care", "Skin Care"],
        "details": {"weight": "1 lb"},
        "parent_asin": "B01CUPMQZE",
    }
    item = only(write(tmp_path / "meta.jsonl", json.dumps(line) + "\n"))
    assert (item.item_id, item.title, item.brand, item.price) == ("B01CUPMQZE", "Howard Leather Cream", "Howard", 14.5)
    assert item.categories == ["All Beauty", "Beauty & Personal Care", "Skin Care"]


def test_a_typed_header_with_words_as_classes(tmp_path: Path) -> None:
    text = "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tToy Story\tAnimation Comedy\n"
    item = only(write(tmp_path / "ml.item", text))
    assert (item.title, item.categories) == ("Toy Story", ["Animation", "Comedy"])


def test_rows_of_one_item_are_put_together(tmp_path: Path) -> None:
    text = "item,title,category,price\n7,,a,none\n8,other,,3\n7,late,b,2.5\n7,later,a,9\n,x,,\n"
    items, rejected = read_items(write(tmp_path / "f.csv", text))
    assert [(item.item_id, item.title, item.categories, item.price) for item in items] == [
        ("7", "late", ["a", "b"], 2.5),
        ("8", "other", [], 3.0),
    ]
    assert rejected == {"no item": 1}


def test_parquet_with_lists(tmp_path: Path) -> None:
    columns = {"item_id": [5], "categories": [["a", "b"]], "price": [None], "brand": ["B"]}
    pd.DataFrame(columns).to_parquet(tmp_path / "f.parquet")
    item = only(tmp_path / "f.parquet")
    assert (item.item_id, item.categories, item.price, item.brand) == ("5", ["a", "b"], None, "B")


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("Make, up|Face", ["Make, up", "Face"]),
        ("a; b", ["a", "b"]),
        ("a > b", ["a", "b"]),
        ("a,b", ["a", "b"]),
        ("one name", ["one name"]),
        ('["a", "b"]', ["a", "b"]),
        ("['a', 'b']", ["a", "b"]),
        ([["a", "b"], ["c"]], ["a", "b", "c"]),
        ([1, None], ["1"]),
        ("", []),
        (None, []),
        (pd.NA, []),
        (float("nan"), []),
    ],
)
def test_categories_of_every_form(cell: Any, names: list[str]) -> None:
    assert [name for name in category_names(cell) if name] == names


@pytest.mark.parametrize(
    ("written", "price"),
    [
        ("$1,299.50", 1299.5),
        ("0", 0.0),
        ("-1", None),
        ("inf", None),
        ("nan", None),
        ("1e300", None),
        ("from 12.99", 12.99),
        ("$3.50 - $7", 3.5),
        ("12,99", 12.99),
        ("1.234,56", 1234.56),
        ("1.234.567,5 €", 1234567.5),
        ("1.234", 1.234),
        ("1,234", 1234.0),
        ("3,50 - 7,00", 3.5),
        ("None", None),
        (".a-price{margin:0}", None),
    ],
)
def test_prices(tmp_path: Path, written: str, price: float | None) -> None:
    assert only(write(tmp_path / "f.csv", f'item;price\n1;"{written}"\n')).price == price


def test_what_comes_out_fits_into_an_event(tmp_path: Path) -> None:
    line = {
        "item_id": "i",
        "title": "t" * 5000,
        "store": "b" * 5000,
        "categories": [f"{n}" + "c" * 2000 for n in range(99)],
    }
    item = only(write(tmp_path / "f.jsonl", json.dumps(line) + "\n"))
    assert len(item.categories) == MAX_CATEGORIES
    assert len(item.title) == MAX_TEXT_LENGTH
    short = CatalogItem(
        item_id=item.item_id,
        title=item.title,
        categories=item.categories[:2],
        brand=item.brand,
        event_time=item.event_time,
    )
    assert decode(encode(short), CatalogItem, now=utc(1_700_000_000_000)) == short


def test_a_file_without_items_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "f.csv", "title\nx\n")
    with pytest.raises(UnreadableFile, match="no column for item"):
        read_items(file)
    with pytest.raises(UnreadableFile, match="no column 'sku'"):
        read_items(file, item="sku")
    assert [item.item_id for item in read_items(file, item="title")[0]] == ["x"]


def test_items_count_from_the_time_at_which_their_file_was_written(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "item,title\n1,a\n2,b\n")
    moments = []
    for written in (1_700_000_000, 1_700_000_100, 0, 9_999_999_999):
        os.utime(path, (written, written))
        moments.append({item.event_time for item in Source([items_part(path)]).read(Reading()).items})
    assert moments[:3] == [{utc(1_700_000_000_000)}, {utc(1_700_000_100_000)}, {EARLIEST}]
    assert max(moments[3]) < utc(9_999_999_999_000)  # a time to come is none
    assert only(write(tmp_path / "one.csv", "item\n1\n")).event_time == EARLIEST


def test_an_object_is_no_id(tmp_path: Path) -> None:
    items, rejected = read_items(write(tmp_path / "f.jsonl", '{"item": {"x": 1}}\n{"item": [1]}\n{"item": 7}\n'))
    assert ([item.item_id for item in items], rejected) == (["7"], {"id is no text": 2})
