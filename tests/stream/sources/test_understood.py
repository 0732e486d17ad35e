"""What was understood of a file says what was done with it."""

from stream.events import EARLIEST, CatalogItem
from stream.sources.headers import guess_columns
from stream.sources.understood import Understood, understand


def understood(rows_are: str) -> Understood:
    header = ["user_id", "item_id", "timestamp", "event_type"]
    mapping = guess_columns(header, {})
    return understand(
        header, mapping.by_meaning(), read=mapping.columns, rows_are=rows_are, clock="UTC", day_first=False
    )


def test_rows_have_the_given_type_also_where_the_file_has_a_column_of_types() -> None:
    assert "each row is a purchase" in understood("purchase").in_words()
    assert understood("purchase").as_json()["rows_are"] == "purchase"


def test_rows_have_the_types_of_the_file_where_none_is_given() -> None:
    assert "each row is" not in understood("").in_words()
    assert understood("").as_json()["rows_are"] is None


def test_items_without_title_or_price_are_counted() -> None:
    found = Understood({"item": "sku"})
    for title, price in (("Tea", None), ("", None)):
        found.add_item(CatalogItem(item_id="i", title=title, price=price, event_time=EARLIEST))
    assert found.found() == "2 items, 1 without a title, 2 without a price"
    assert found.warnings() == ["no item has a price"]
    assert found.as_json()["without"] == {"title": 1, "price": 2}
