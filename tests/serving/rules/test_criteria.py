"""Criteria say of an item whether it matches."""

import pytest

from graphstore.catalogue import Item
from serving.rules.criteria import NO_CRITERIA, Criteria, text_of

TEA = Item(
    1,
    "tea",
    categories=["Drinks", "Tea"],
    brand="Leaf",
    price=3.5,
    attributes={"organic": True, "grams": 100, "roast": "dark"},
)


@pytest.mark.parametrize(
    ("criteria", "matches"),
    [
        (NO_CRITERIA, True),
        (Criteria(categories=("Tea", "Coffee")), True),
        (Criteria(categories=("Coffee",)), False),
        (Criteria(brands=("Leaf",)), True),
        (Criteria(brands=("leaf",)), False),
        (Criteria(price_min=3.5, price_max=3.5), True),
        (Criteria(price_min=3.51), False),
        (Criteria(price_max=3.49), False),
        (Criteria(attributes={"organic": ("true",), "grams": ("100", "200")}), True),
        (Criteria(attributes={"organic": ("false",)}), False),
        (Criteria(attributes={"colour": ("red",)}), False),
        (Criteria(without_items=("tea",)), False),
        (Criteria(without_categories=("Tea",)), False),
        (Criteria(without_brands=("Leaf",)), False),
        (Criteria(categories=("Tea",), brands=("Other",)), False),
    ],
)
def test_an_item_matches_when_every_condition_holds(criteria: Criteria, matches: bool) -> None:
    assert criteria.matches(TEA) is matches


def test_an_item_without_a_price_lies_in_no_price_range() -> None:
    assert not Criteria(price_min=0.0).matches(Item(1, "unpriced"))
    assert not Criteria(price_max=1e9).matches(Item(1, "unpriced"))


def test_a_value_is_compared_as_text() -> None:
    assert [text_of(value) for value in (True, 2.0, 2.5, "red", None)] == ["true", "2", "2.5", "red", None]
