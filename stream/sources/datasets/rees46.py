"""REES46: the monthly logs of online shops that REES46 published (eCommerce behavior data, cosmetics, electronics).

Arrives: `event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session`; the history of
purchases has `order_id` and no type. Leaves: events, and items with the levels of `category_code`, brand and the newest
price. Next: `stream.sources.tabular`. `remove_from_cart` is no event and no error.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from stream.sources.formats.columns import text
from stream.sources.headers import guess_columns
from stream.sources.item_headers import ItemColumns
from stream.sources.options import SourceOptions
from stream.sources.shaping import Shaped, of_tables
from stream.sources.source import Part
from stream.sources.tabular import events_part

NEEDS = frozenset(("event_time", "product_id", "category_code", "brand", "price", "user_id"))


def events(path: Path, header: Sequence[str], options: SourceOptions) -> Part:
    """Return the part of a log."""
    mapping = guess_columns(list(header), {"time": "event_time", "price": "price", "user": "user_id"})
    beside = ItemColumns("product_id", brand="brand", prices=("price",), categories=("category_code",))
    wanted = list(dict.fromkeys([*mapping.columns, *beside.columns]))
    shaped = Shaped(mapping, wanted, mapping.by_meaning(), of_tables(_of_table))
    return events_part(path, form="REES46 events", options=options, header=list(header), shaped=shaped, beside=beside)


def _of_table(table: pd.DataFrame) -> pd.DataFrame:
    """Write the zone as ISO 8601 does, which is read a column at once, and the levels as any path."""
    return table.assign(
        event_time=text(table["event_time"]).str.replace(r" UTC$", "Z", regex=True),
        category_code=text(table["category_code"]).str.replace(".", "|"),
    )
