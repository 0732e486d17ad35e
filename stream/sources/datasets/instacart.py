"""Instacart Market Basket Analysis (2017): orders, their products, and the catalogue, in files of their own.

Arrives: `orders.csv`, `order_products__prior.csv`, `order_products__train.csv`, and perhaps `products.csv`,
`aisles.csv` and `departments.csv`, in any order. Leaves: a purchase for each product of an order, and products with
department and aisle. Next: `stream.sources.tabular`.

The files have no dates: an order says how many days after the one before it came. So each shopper's first order is on
an assumed day (`--start-date`, else `ASSUMED_START`), and the import says so.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd

from stream.sources.catalogue import items_part
from stream.sources.cell_columns import amounts, ids
from stream.sources.formats.columns import Block, text
from stream.sources.formats.opening import open_columns, read_columns
from stream.sources.headers import ColumnMapping
from stream.sources.item_headers import ItemColumns
from stream.sources.options import Layout, SourceOptions
from stream.sources.orders import Head, Orders, unknown_orders
from stream.sources.rejections import Rejections
from stream.sources.shaping import Reshape, Shaped, of_tables
from stream.sources.source import Found, Part, Reading
from stream.sources.tabular import events_part

ROLES: Mapping[str, frozenset[str]] = {
    "orders": frozenset(("order_id", "user_id", "order_number", "days_since_prior_order")),
    "lines": frozenset(("order_id", "product_id", "add_to_cart_order", "reordered")),
    "products": frozenset(("product_id", "product_name", "aisle_id", "department_id")),
    "aisles": frozenset(("aisle_id", "aisle")),
    "departments": frozenset(("department_id", "department")),
}
LACKS: Mapping[str, frozenset[str]] = {
    "orders": frozenset(("product_id",)),
    "lines": frozenset(("user_id",)),
    "products": frozenset(("aisle", "department", "order_id")),
    "aisles": frozenset(("product_id", "name")),
    "departments": frozenset(("product_id", "item_id", "sku", "name")),
}
"""Columns that show that the tables were joined, or are others: such a file is read like any other."""
FORM = "Instacart orders"
ASSUMED_START = date(2017, 1, 1)
OUT_OF_ORDER = "orders of a shopper are not one after the other"
DAY_MS, HOUR_MS = 86_400_000, 3_600_000


def parts(files: Mapping[str, Sequence[Path]], options: SourceOptions) -> list[Part]:
    """Return the parts of the files by their role."""
    found = [_products_part(path, files, options) for path in files.get("products", ())]
    orders = files.get("orders", ())
    start = options.start or ASSUMED_START
    return found + [_lines_part(path, orders, options, start) for path in files.get("lines", ())]


def _lines_part(path: Path, orders: Sequence[Path], options: SourceOptions, start: date) -> Part:
    mapping = ColumnMapping(user="user", item="product_id", time="time", order="order_id")
    said = "" if options.start else ", which is assumed: --start-date names another"
    told = {
        "user": "user_id of the order",
        "item": "product_id",
        "time": f"days_since_prior_order, each shopper from {start:%Y-%m-%d}{said}",
        "order": "order_id",
    }

    def blocks(reading: Reading) -> Iterator[Found]:
        known = Orders()
        for source in orders:
            _read(source, known, start, options.layout, reading)

        def reshaping() -> Reshape:
            return lambda block: known.joined(block, "order_id")

        shaped = Shaped(mapping, ["order_id", "product_id"], told, reshaping, unknown_orders)
        yield from events_part(path, form=FORM, options=options, shaped=shaped).blocks(reading)

    words = " · ".join(f"{meaning} = {name}" for meaning, name in told.items())
    return Part(path, FORM, blocks, f"{words} · each row is a purchase")


def _read(path: Path, known: Orders, start: date, layout: Layout, reading: Reading) -> None:
    elapsed: dict[str, tuple[float, float]] = {}
    begin = datetime(start.year, start.month, start.day, tzinfo=UTC).timestamp() * 1000
    with open_columns(path, reading.rejections, layout) as file:
        hour = ["order_hour_of_day"] if "order_hour_of_day" in file.header else []
        for block in file.blocks(["order_id", "user_id", "order_number", "days_since_prior_order", *hour]):
            known.add(_heads(block, elapsed, begin, reading, path))
            if reading.stop():
                return


def _heads(
    block: Block, elapsed: dict[str, tuple[float, float]], begin: float, reading: Reading, path: Path
) -> Iterator[tuple[str, Head]]:
    """Yield the orders with their times. `elapsed` has each shopper's last number of an order, and the days so far."""
    raw = block.table
    hours = amounts(raw["order_hour_of_day"]).tolist() if "order_hour_of_day" in raw else [0.0] * len(raw)
    columns = (ids(raw["order_id"]), ids(raw["user_id"]), amounts(raw["order_number"]))
    days = amounts(raw["days_since_prior_order"]).fillna(0.0)
    rows = zip(*(column.tolist() for column in columns), days.tolist(), hours, strict=True)
    for row, (order_id, user, number, more, hour) in enumerate(rows):
        last, so_far = elapsed.get(user, (0.0, 0.0))
        if number != last + 1:
            reading.rejections.add(path, "line", int(block.places[row]), OUT_OF_ORDER, block.shown(row))
            continue
        elapsed[user] = number, so_far + more
        time = begin + (so_far + more) * DAY_MS + (0.0 if math.isnan(hour) else hour) * HOUR_MS
        yield order_id, Head(user, time)


def _products_part(path: Path, files: Mapping[str, Sequence[Path]], options: SourceOptions) -> Part:
    aisles = _names(files.get("aisles", ()), "aisle", options.layout)
    departments = _names(files.get("departments", ()), "department", options.layout)

    def of_table(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(
            department=text(table["department_id"]).map(departments).astype("string").fillna(""),
            aisle=text(table["aisle_id"]).map(aisles).astype("string").fillna(""),
        )

    # Without the two files of names there are no categories: their numbers would be names.
    columns = ItemColumns("product_id", title="product_name", categories=("department", "aisle"))
    return items_part(
        path, form="Instacart products", layout=options.layout, reshaping=of_tables(of_table), columns=columns
    )


def _names(paths: Sequence[Path], what: str, layout: Layout) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in paths:
        table = read_columns(path, Rejections(), layout)
        found.update(zip(text(table[f"{what}_id"]), text(table[what]), strict=True))
    return found
