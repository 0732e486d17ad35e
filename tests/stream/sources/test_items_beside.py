"""Items beside events: the newest row counts, an item of which nothing is known is none."""

import pandas as pd

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
