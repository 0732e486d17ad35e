"""Items beside events: the newest row counts, an item of which nothing is known is none."""

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.events import milliseconds
from stream.sources.item_headers import ItemColumns
from stream.sources.items_beside import ItemsBeside


def test_an_older_row_only_adds_what_the_newest_does_not_say() -> None:
    beside = ItemsBeside(ItemColumns("item", title="t", prices=("p",)))
    for rows in ([("i", 20, "new", ""), ("j", 5, "", "")], [("i", 15, "old", "4")]):
        table = pd.DataFrame(rows, columns=["item", "event_time", "t", "p"])
        table["event_time"] += 1_700_000_000_000
        beside.add(table, table.rename(columns={"item": "item_id"}))
    (item,) = beside.items()
    assert (item.item_id, item.title, item.price) == ("i", "new", 4.0)
    assert milliseconds(item.event_time) == 1_700_000_000_020


ROWS = st.lists(st.tuples(st.sampled_from("ij"), st.sampled_from(["1", "2", "3"])), min_size=1, max_size=9)


@settings(max_examples=40)
@given(ROWS, st.integers(0, 9))
def test_the_newest_price_counts_wherever_a_block_ends(rows: list[tuple[str, str]], cut: int) -> None:
    beside = ItemsBeside(ItemColumns("item", prices=("p",)))
    table = pd.DataFrame(rows, columns=["item", "p"], dtype="string").assign(
        event_time=[1_700_000_000_000 + row for row in range(len(rows))]
    )
    for part in (table[:cut], table[cut:]):
        beside.add(part, part.rename(columns={"item": "item_id"}))
    assert {item.item_id: item.price for item in beside.items()} == {item: float(price) for item, price in rows}
