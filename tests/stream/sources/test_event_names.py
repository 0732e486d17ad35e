"""The names of events: those of the trade are known, others stay, and the file's owner comes first."""

import pandas as pd
import pytest

from stream.events import EventType
from stream.sources.cell_columns import event_types, taken_back
from stream.sources.event_names import TYPE_NAMES


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pv", "view"),
        ("Product Viewed", "view"),
        ("view_item", "view"),
        ("Product Added", "cart"),
        ("add-to-cart", "cart"),
        ("Order Completed", "purchase"),
        ("orders", "purchase"),
        ("PURCHASE", "purchase"),
        ("refund", "return"),
        ("fav", "fav"),
        ("remove_from_cart", "remove_from_cart"),
    ],
)
def test_names_of_the_trade(name: str, expected: str) -> None:
    assert event_types(pd.Series([name], dtype="string")).tolist() == [expected]


def test_the_owners_names_come_first() -> None:
    cells = pd.Series(["fav", "PV", "buy"], dtype="string")
    assert event_types(cells, {"fav": "click", "pv": "click"}).tolist() == ["click", "click", "purchase"]


def test_the_types_are_those_of_the_contract() -> None:
    assert TYPE_NAMES.keys() == {kind.value for kind in EventType}


def test_states_of_orders() -> None:
    cells = pd.Series(["completed", "wc-refunded", "Cancelled", "", "paid"], dtype="string")
    assert taken_back(cells).tolist() == ["", "return", "cancel", "", ""]
