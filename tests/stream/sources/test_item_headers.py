"""Headers of items: what is found by name, what is named, and a file of which only the id is understood."""

from pathlib import Path

import pytest

from stream.sources.files.compressed import UnreadableFile
from stream.sources.item_headers import item_columns
from stream.sources.options import SourceOptions
from tests.stream.sources.published import read, write


def test_known_names() -> None:
    header = [
        "sku",
        "Name",
        "vendor",
        "price",
        "in_stock",
        "link",
        "image_link",
        "stock",
        "item_group_id",
        "category",
        "x",
    ]
    found = item_columns(header)
    assert found.by_meaning() == {
        "item": "sku",
        "title": "Name",
        "brand": "vendor",
        "available": "in_stock",
        "url": "link",
        "image": "image_link",
        "stock": "stock",
        "product": "item_group_id",
        "categories": "category",
        "price": "price",
    }
    assert "x" not in found.columns


def test_named_columns_come_first_and_must_be_there() -> None:
    header = ["sku", "title", "was", "sort", "maker", "there", "category"]
    given = {"title": "was", "category": "sort", "brand": "maker", "available": "there", "user": "nobody"}
    found = item_columns(header, None, given)
    assert (found.title, found.categories, found.brand, found.available) == ("was", ("sort",), "maker", "there")
    with pytest.raises(UnreadableFile, match="no column 'name': the file has sku, title"):
        item_columns(header, None, {"title": "name"})


def test_items_of_which_only_the_id_is_understood_are_refused_with_the_options(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "user,item\nu,i\n")
    items = write(tmp_path / "items.csv", "item,bezeichnung,warengruppe\ni,Tee,Getränke\n")
    with pytest.raises(UnreadableFile, match=r"items\.csv: of its items only the id 'item' .* --title-col"):
        read("table", log, items=[items])
    with pytest.raises(UnreadableFile, match="--category-col"):
        read("table", log, items)
    options = SourceOptions({"title": "bezeichnung", "category": "warengruppe"})
    (item,) = read("table", log, items=[items], options=options).items
    assert (item.title, item.categories) == ("Tee", ["Getränke"])
