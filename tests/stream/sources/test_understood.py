"""What was understood of a file says what was done with it."""

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
