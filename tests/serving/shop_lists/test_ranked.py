"""One ranking, cut by categories: the same order everywhere, without what cannot be bought."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.shop_lists import ranked
from serving.shop_lists.assortment import Assortment
from serving.shop_lists.lists import ALL, readable
from serving.shop_lists.ranked import ranked_lists

EMPTY = np.zeros(0, dtype=np.int64)


def shelf(places: dict[int, list[str]]) -> Assortment:
    keys = sorted(places)
    names = sorted({name for of in places.values() for name in of})
    pairs = [(row, names.index(name)) for row, key in enumerate(keys) for name in places[key]]
    return Assortment(
        np.array(keys, dtype=np.int64),
        names,
        np.array([row for row, _ in pairs], dtype=np.int64),
        np.array([name for _, name in pairs], dtype=np.int64),
    )


@given(
    st.dictionaries(st.integers(0, 30), st.lists(st.sampled_from(["A", "B", "C"]), unique=True), max_size=12),
    st.dictionaries(st.integers(0, 30), st.integers(0, 5), max_size=20),
)
def test_the_lists_are_those_of_a_slow_cut(places: dict[int, list[str]], scores: dict[int, int]) -> None:
    keys = np.array(list(scores), dtype=np.int64)
    values = np.array(list(scores.values()), dtype=np.int64)
    found = ranked_lists(keys, values.astype(np.float64), values, shelf(places))
    order = [key for key in sorted(scores, key=lambda key: (-scores[key], key)) if key in places]
    expected = {name: [key for key in order if name in places[key]] for name in "ABC"} | {ALL: order}
    assert {name: [entry.item_key for entry in readable(name, raw)] for name, raw in found.items()} == {
        name: of for name, of in expected.items() if of
    }


def test_lists_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranked, "SHOP_ITEMS", 3)
    monkeypatch.setattr(ranked, "CATEGORY_ITEMS", 2)
    keys = np.arange(9)
    found = ranked_lists(keys, keys.astype(np.float64), keys, shelf({key: ["A"] for key in range(9)}))
    assert {name: [entry.item_key for entry in readable(name, raw)] for name, raw in found.items()} == {
        ALL: [8, 7, 6],
        "A": [8, 7],
    }


def test_an_empty_shop_has_no_lists() -> None:
    assert ranked_lists(EMPTY, EMPTY.astype(np.float64), EMPTY, shelf({})) == {}
    assert ranked_lists(np.array([1]), np.array([1.0]), np.array([1]), shelf({})) == {}
