"""Olist: the orders of a Brazilian marketplace (2016-2018), with a file each for orders, lines, customers and products.

Arrives: `olist_orders_dataset.csv` and `olist_order_items_dataset.csv`, and perhaps `olist_customers_dataset.csv`,
`olist_products_dataset.csv` and `product_category_name_translation.csv`, in any order. Leaves: a purchase for each
line, which is one piece, or a cancellation where the order was cancelled; and products. Next: `stream.sources.tabular`.

A `customer_id` of an order is not a person: each order has another one. The file of customers says which
`customer_unique_id` it belongs to. Without that file the import says that no shopper comes back.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from stream.sources.catalogue import items_part
from stream.sources.cell_columns import ids
from stream.sources.files.compressed import UnreadableFile
from stream.sources.formats.columns import text
from stream.sources.formats.opening import open_columns, read_columns
from stream.sources.headers import ColumnMapping
from stream.sources.item_headers import ItemColumns
from stream.sources.options import SourceOptions
from stream.sources.orders import MAX_ORDERS, Head, Orders, unknown_orders
from stream.sources.rejections import Rejections
from stream.sources.shaping import Reshape, Shaped, of_tables
from stream.sources.source import Found, Part, Reading
from stream.sources.tabular import events_part
from stream.sources.times import times

FORM = "Olist orders"
NO_CUSTOMERS = "customer_id, another one for each order, as the file of customers is not given"
ROLES: Mapping[str, frozenset[str]] = {
    "orders": frozenset(("order_id", "customer_id", "order_status", "order_purchase_timestamp")),
    "lines": frozenset(("order_id", "order_item_id", "product_id", "seller_id", "price")),
    "customers": frozenset(("customer_id", "customer_unique_id")),
    "products": frozenset(("product_id", "product_category_name")),
    "translation": frozenset(("product_category_name", "product_category_name_english")),
}
LACKS: Mapping[str, frozenset[str]] = {
    "orders": frozenset(("product_id",)),
    "lines": frozenset(("customer_id", "customer_unique_id")),
    "customers": frozenset(("order_id",)),
    "products": frozenset(("order_id", "name", "title", "product_name", "price", "brand")),
    "translation": frozenset(("product_id",)),
}
"""Columns that show that the tables were joined, or are others: such a file is read like any other."""


def parts(files: Mapping[str, Sequence[Path]], options: SourceOptions) -> list[Part]:
    """Return the parts of the files by their role."""
    found = [_products_part(path, files, options) for path in files.get("products", ())]
    return found + [_lines_part(path, files, options) for path in files.get("lines", ())]


def _lines_part(path: Path, files: Mapping[str, Sequence[Path]], options: SourceOptions) -> Part:
    mapping = ColumnMapping(
        user="user", item="product_id", time="time", value="price", order="order_id", status="status", priced=True
    )
    customers = files.get("customers", ())
    told = {
        "user": "customer_unique_id" if customers else NO_CUSTOMERS,
        "item": "product_id",
        "time": "order_purchase_timestamp",
        "price": "price",
        "order": "order_id",
        "status": "order_status",
    }

    def blocks(reading: Reading) -> Iterator[Found]:
        people = _people(customers, options, reading)
        known = Orders()
        for source in files["orders"]:
            for heads in _heads(source, people, options, reading):
                known.add(heads)

        def reshaping() -> Reshape:
            return lambda block: known.joined(block, "order_id")

        shaped = Shaped(mapping, ["order_id", "product_id", "price"], told, reshaping, unknown_orders)
        yield from events_part(path, form=FORM, options=options, shaped=shaped).blocks(reading)

    words = " · ".join(f"{meaning} = {name}" for meaning, name in told.items())
    return Part(path, FORM, blocks, f"{words} · each row is a purchase")


def _people(paths: Sequence[Path], options: SourceOptions, reading: Reading) -> dict[str, str]:
    people: dict[str, str] = {}
    for path in paths:
        with open_columns(path, reading.rejections, options.layout) as file:
            for block in file.blocks(["customer_id", "customer_unique_id"]):
                table = block.table
                people.update(zip(ids(table["customer_id"]), ids(table["customer_unique_id"]), strict=True))
                if len(people) > MAX_ORDERS:
                    raise UnreadableFile(f"more than {MAX_ORDERS:,} customers")
    return people


def _heads(
    path: Path, people: Mapping[str, str], options: SourceOptions, reading: Reading
) -> Iterator[Iterator[tuple[str, Head]]]:
    with open_columns(path, reading.rejections, options.layout) as file:
        for block in file.blocks(["order_id", "customer_id", "order_status", "order_purchase_timestamp"]):
            raw = block.table
            moments = times(raw["order_purchase_timestamp"], day_first=options.day_first, zone=options.zone)
            customers = ids(raw["customer_id"])
            users = customers.map(people).fillna("") if people else customers
            heads = zip(users, moments, text(raw["order_status"]), strict=True)
            yield zip(ids(raw["order_id"]), (Head(*head) for head in heads), strict=True)


def _products_part(path: Path, files: Mapping[str, Sequence[Path]], options: SourceOptions) -> Part:
    english: dict[str, str] = {}
    for source in files.get("translation", ()):
        table = read_columns(source, Rejections(), options.layout)
        names = (text(table[name]) for name in ("product_category_name", "product_category_name_english"))
        english.update(zip(*names, strict=True))

    def of_table(table: pd.DataFrame) -> pd.DataFrame:
        own = text(table["product_category_name"])
        return table.assign(product_category_name=own.map(english).astype("string").fillna(own))

    columns = ItemColumns("product_id", categories=("product_category_name",))
    return items_part(
        path, form="Olist products", layout=options.layout, reshaping=of_tables(of_table), columns=columns
    )
