"""The names of items as pairs: what a dictionary of sets would say, whatever changes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.online.name_column import NameColumn

NAMES = st.lists(st.sampled_from("abcdef"), max_size=5, unique=True)


def having(column: NameColumn, names: str, places: int) -> list[int]:
    marked = np.zeros(places, dtype=np.bool_)
    column.mark(names, marked)
    return np.flatnonzero(marked).tolist()


@given(st.lists(st.tuples(st.integers(0, 6), NAMES), max_size=60))
def test_an_item_has_the_names_that_it_got_last(puts: list[tuple[int, list[str]]]) -> None:
    column, model = NameColumn(), []
    for place, names in puts:
        place = min(place, len(model))
        column.put(place, names)
        model[place : place + 1] = [names]
        for wanted in ("a", "bc", "f", "x", ""):
            assert having(column, wanted, len(model)) == [
                index for index, owned in enumerate(model) if set(wanted) & set(owned)
            ]


def test_a_value_that_changes_for_ever_takes_no_memory_for_ever() -> None:
    column = NameColumn()
    column.put(0, ["kept"])
    for number in range(20_000):
        column.put(1, [("views", str(number))])
    assert max(column.held) < 3_000
    assert having(column, ["kept"], 2) == [0]
    assert having(column, [("views", "19999")], 2) == [1]
    assert having(column, [("views", "19998")], 2) == []
