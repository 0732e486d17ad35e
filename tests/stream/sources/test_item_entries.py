"""Entries of items: addresses, stock and products, in the bounds of the contract."""

import pandas as pd
import pytest

from stream.events import CatalogItem, decode, encode, utc
from stream.sources.item_entries import Entry, entries
from stream.sources.item_headers import item_columns


def only(**cells: str) -> Entry:
    table = pd.DataFrame({"item": ["i"], **{name: [cell] for name, cell in cells.items()}})
    (entry,) = entries(table, item_columns(list(table.columns)))
    return entry


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("https://s/tea", "https://s/tea"),
        ("/tea.jpg", "/tea.jpg"),
        ("https://s/a.jpg, https://s/b.jpg", "https://s/a.jpg"),
        ("javascript:alert(1)", ""),
        ("//evil", ""),
        ("tea.jpg", ""),
        (f"https://s/{'x' * 2100}", ""),
    ],
)
def test_addresses_are_those_of_the_contract(written: str, address: str) -> None:
    entry = only(link=written, image_link=written)
    assert (entry.url, entry.image_url) == (address, address)
    assert decode(encode(entry.item("i")), CatalogItem, now=utc(1_700_000_000_000)).url == address


@pytest.mark.parametrize(
    ("written", "stock"), [("5", 5), ("-2", 0), ("", None), ("many", None), ("1e12", None), ("5.0", 5)]
)
def test_stock_is_a_number_of_pieces(written: str, stock: int | None) -> None:
    assert only(stock_quantity=written).stock == stock


def test_rows_of_one_item_keep_what_the_first_one_says() -> None:
    entry = only(title="a", link="/a")
    entry.add(only(title="b", link="/b", item_group_id="g", stock="3", price="2"))
    assert (entry.title, entry.url, entry.product_id, entry.stock, entry.price) == ("a", "/a", "g", 3, 2.0)
