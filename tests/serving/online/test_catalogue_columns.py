"""Masks over the catalogue say what `Criteria.matches` says of each item."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graphstore.catalogue import Item
from serving.online.catalogue_columns import CatalogueColumns
from serving.rules.criteria import NO_CRITERIA, Criteria

WORDS = st.sampled_from(["dairy", "bread", "", "Dairy", "true", "42"])
PRICES = st.sampled_from([0.0, 0.1, 1.5, 2.0, 1e9])
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["organic", "size"]), st.one_of(WORDS, st.booleans(), st.sampled_from([42, 42.0, 2.5])), max_size=2
)


@st.composite
def an_item(draw: st.DrawFn, key: int) -> Item:
    return Item(
        key,
        f"i{key}",
        categories=draw(st.lists(WORDS, max_size=3)),
        brand=draw(WORDS),
        price=draw(st.none() | PRICES | st.sampled_from([-1.0, float("nan")])),
        attributes=draw(ATTRIBUTES),
    )


ITEMS = st.lists(st.integers(1, 8), max_size=20).flatmap(lambda keys: st.tuples(*[an_item(key) for key in keys]))
NAMES = st.lists(WORDS, max_size=2).map(tuple)
IDS = st.lists(st.integers(1, 9).map("i{}".format), max_size=3).map(tuple)
RANGES = st.tuples(st.none() | PRICES, st.none() | PRICES).map(
    lambda ends: ends if None in ends else (min(ends), max(ends))
)
CRITERIA = RANGES.flatmap(lambda ends: in_range(*ends))


def in_range(low: float | None, high: float | None) -> st.SearchStrategy[Criteria]:
    return st.builds(
        Criteria,
        categories=NAMES,
        brands=NAMES,
        price_min=st.just(low),
        price_max=st.just(high),
        attributes=st.dictionaries(st.sampled_from(["organic", "size"]), NAMES, max_size=2),
        without_items=IDS,
        without_categories=NAMES,
        without_brands=NAMES,
    )


@given(ITEMS, st.lists(CRITERIA, max_size=2), IDS, st.none() | IDS)
def test_a_mask_is_what_the_criteria_say_of_each_item(
    items: tuple[Item, ...], criteria: list[Criteria], without: tuple[str, ...], only: tuple[str, ...] | None
) -> None:
    """Items come more than once: the last one counts."""
    columns = CatalogueColumns()
    columns.take(items)
    newest = {item.item_key: item for item in items}
    keys = np.arange(10)
    mask = columns.allowed(criteria, without=without, only=only)[columns.places_of(keys)]
    for key, allowed in zip(keys.tolist(), mask.tolist(), strict=True):
        item = newest.get(key)
        assert allowed == (
            item is not None
            and all(one.matches(item) for one in criteria)
            and item.item_id not in without
            and (only is None or item.item_id in only)
        )


def test_what_has_not_changed_costs_no_change() -> None:
    columns = CatalogueColumns()
    items = [Item(key, f"i{key}", price=1.0) for key in range(3_000)]
    assert columns.take(items) == len(columns) == 3_000
    assert columns.take(items) == 0
    assert columns.take([Item(7, "i7", price=2.0), items[8]]) == 1
    assert columns.allowed([Criteria(price_min=1.5)]).nonzero()[0].tolist() == [7]


def test_ids_have_keys_and_keys_have_places_in_whatever_order_they_come() -> None:
    columns = CatalogueColumns()
    assert columns.places_of(np.array([1, 2])).tolist() == [-1, -1]
    columns.take([Item(9, "nine"), Item(3, "three")])
    columns.take([Item(5, "five")])
    assert columns.keys_of(["three", "nobody", "nine"]) == [3, None, 9]
    assert columns.places_of(np.array([3, 4, 5, 9, 10])).tolist() == [1, -1, 2, 0, -1]


def test_without_conditions_every_known_item_is_allowed() -> None:
    columns = CatalogueColumns()
    columns.take([Item(1, "one"), Item(2, "two")])
    assert columns.allowed([NO_CRITERIA]).tolist() == [True, True, False]
