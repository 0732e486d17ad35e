"""dunnhumby's The Complete Journey in its own files: `transaction_data.csv` and `product.csv`.

Arrives: lines with the number of a day (`DAY`, from 1) and a clock time (`TRANS_TIME`, hhmm). Leaves: purchases with
the price of one piece, their basket as the order; and products. Next: `stream.sources.tabular`.

The files do not say which day the first one was, so the start date is asked for and not guessed.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from stream.sources.catalogue import items_part
from stream.sources.cell_columns import amounts
from stream.sources.files.compressed import NotUnderstood
from stream.sources.formats.columns import text
from stream.sources.headers import ColumnMapping
from stream.sources.item_headers import ItemColumns
from stream.sources.options import SourceOptions
from stream.sources.shaping import Shaped, of_tables, own_names, piece_price, renamed
from stream.sources.source import Part
from stream.sources.tabular import events_part

LINE_NEEDS = frozenset(("household_key", "basket_id", "day", "product_id", "sales_value"))
PRODUCT_NEEDS = frozenset(("product_id", "manufacturer", "department", "commodity_desc"))

_NAMES = ("household_key", "basket_id", "day", "product_id", "quantity", "sales_value", "trans_time")
_MAX_DAY = 100_000
FORM = "dunnhumby transactions"


def lines_part(path: Path, header: Sequence[str], options: SourceOptions) -> Part:
    """Return the part of the lines. Without a start date, a look at it raises `NotUnderstood`."""
    start = options.start
    if start is None:
        return Part(path, FORM, lambda _: iter(()), look=lambda: _refuse(path))
    own = own_names(header, _NAMES)

    def of_table(table: pd.DataFrame) -> pd.DataFrame:
        found = renamed(table, own, _NAMES)
        return found.assign(
            price=piece_price(found["sales_value"], found["quantity"]),
            time=moments(found["day"], found["trans_time"], start),
        )

    mapping = ColumnMapping(
        user="household_key",
        item="product_id",
        time="time",
        value="price",
        quantity="quantity",
        order="basket_id",
        priced=True,
    )
    told = {meaning: own.get(name, name) for meaning, name in mapping.by_meaning().items()}
    told |= {"time": f"{own['day']} from {start:%Y-%m-%d}", "price": f"{own['sales_value']} of a piece"}
    shaped = Shaped(mapping, list(own.values()), told, of_tables(of_table))
    return events_part(path, form=FORM, options=options, header=list(header), shaped=shaped)


def _refuse(path: Path) -> str:
    raise NotUnderstood(f"{path}: its days are numbers: say the date of day 1, as --start-date 2017-01-01")


def moments(days: "pd.Series[str]", clocks: "pd.Series[str]", start: date) -> "pd.Series[str]":
    """Return the times of numbered days (from 1) and clock times (hhmm) as text; "" where a cell is no such thing."""
    day = amounts(days)
    good = (day >= 1) & (day <= _MAX_DAY) & (day == day.round())
    begins = pd.to_datetime(np.datetime64(start, "s") + (day.where(good, 1) - 1).astype("timedelta64[D]"))
    hours = text(clocks).str.zfill(4)
    known = hours.str.fullmatch(r"(?:[01]\d|2[0-3])[0-5]\d").astype(bool)
    clock = (hours.str[:2] + ":" + hours.str[2:]).where(known, "00:00")
    return (begins.dt.strftime("%Y-%m-%d").astype("string") + "T" + clock + ":00").where(good, "")


def products_part(path: Path, header: Sequence[str], options: SourceOptions) -> Part:
    """Return the part of the products. They have no titles of their own: the narrowest name of its kind is one."""
    names = ("product_id", "brand", "department", "commodity_desc", "sub_commodity_desc")
    own = own_names(header, names)

    def of_table(table: pd.DataFrame) -> pd.DataFrame:
        return renamed(table, own, names)

    columns = ItemColumns(
        "product_id",
        title="sub_commodity_desc",
        brand="brand",
        categories=("department", "commodity_desc"),
    )
    return items_part(
        path, form="dunnhumby products", layout=options.layout, reshaping=of_tables(of_table), columns=columns
    )
