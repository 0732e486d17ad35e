"""WooCommerce's CSV export of products.

Arrives: the file of "Products > Export". Leaves: an item for each row, by its ID, as orders name it
(`stream.sources.shapes.woocommerce`); a variation belongs to the product of its parent. Next:
`stream.sources.catalogue`.

Of two prices the one of the sale is paid. Categories are paths, parted by commas: `Drinks, Drinks > Tea`; a comma in a
name has a backslash before it.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from stream.sources.catalogue import items_part
from stream.sources.item_headers import ItemColumns
from stream.sources.options import SourceOptions
from stream.sources.shaping import of_tables, own_names, renamed
from stream.sources.source import Part

PRODUCT_NEEDS = frozenset(("id", "type", "sku", "name", "regular price"))

_NAMES = (
    *("id", "type", "sku", "name", "published", "in stock?", "stock", "sale price", "regular price", "categories"),
    *("images", "brands", "parent"),
)
_BETWEEN = re.compile(r"(?<!\\),|>")


def products_part(path: Path, header: Sequence[str], options: SourceOptions) -> Part:
    """Return the part of an export of products. The item is its ID, or the column that is named."""
    own = own_names(header, _NAMES)
    item = options.columns.get("item")
    columns = ItemColumns(
        item="id",
        title="name",
        brand="brands",
        prices=("sale price", "regular price"),
        available="available",
        image="images",
        stock="stock",
        product="parent",
        categories=("categories",),
    )
    if item is not None and item in header:
        own = {**own, "id": item}

    def of_table(table: pd.DataFrame) -> pd.DataFrame:
        return _products(renamed(table, own, _NAMES))

    return items_part(
        path, form="WooCommerce products", layout=options.layout, reshaping=of_tables(of_table), columns=columns
    )


def _products(table: pd.DataFrame) -> pd.DataFrame:
    there = ~table["in stock?"].str.casefold().isin(("0", "no", "false", "outofstock"))
    shown = ~table["published"].isin(("0", "-1", "false"))
    parents = table["parent"].str.extract(r"^id:(\d+)$")[0].astype("string").fillna("")
    return table.assign(
        available=(there & shown).map({True: "true", False: "false"}),
        parent=parents.where(parents != "", table["parent"]),
        categories=table["categories"].map(_category_names).astype(object),
    )


def _category_names(cell: str) -> list[str]:
    return [name.strip().replace("\\,", ",") for name in _BETWEEN.split(cell) if name.strip()]
