"""Shopify's CSV exports: orders with a row for each line, and products with a row for each variant.

Arrives: `orders_export.csv` and `products_export.csv`. Leaves: a purchase for each line, or its take-back where the
order was cancelled or refunded; and an item for each variant with a SKU, whose product is the handle. Next:
`stream.sources.tabular` and `stream.sources.catalogue`.

What an order or a product says once stands in its first row alone, so it is carried to its other rows. An order without
an e-mail address belongs to nobody and is refused. Rows with another picture of a product alone are no variants.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from stream.sources.catalogue import items_part
from stream.sources.formats.columns import Block
from stream.sources.headers import ColumnMapping
from stream.sources.item_headers import ItemColumns
from stream.sources.options import SourceOptions
from stream.sources.shaping import Carried, Reshape, Shaped, only, own_names, renamed
from stream.sources.source import Part
from stream.sources.tabular import events_part

ORDER_NEEDS = frozenset(("name", "email", "created at", "lineitem quantity", "lineitem sku"))
PRODUCT_NEEDS = frozenset(("handle", "title", "variant sku"))

_ORDER = ("email", "financial status", "currency", "created at", "cancelled at")
_LINE = ("lineitem quantity", "lineitem price", "lineitem sku")
_PRODUCT = ("title", "vendor", "product category", "type", "published", "status")
_VARIANT = (
    *("variant sku", "variant price", "variant inventory qty", "variant inventory policy", "variant image"),
    "variant inventory tracker",
)
GUEST = "no user: an order without an e-mail address"


def orders_part(path: Path, header: Sequence[str], options: SourceOptions) -> Part:
    """Return the part of an export of orders."""
    names = ("name", *_ORDER, *_LINE)
    own = own_names(header, names)

    def reshaping() -> Reshape:
        carried = Carried("name", _ORDER)

        def reshape(block: Block) -> Block:
            table = carried(renamed(block.table, own, names))
            state = table["financial status"].mask(table["cancelled at"] != "", "cancelled")
            return replace(block, table=table.assign(**{"financial status": state}))

        return reshape

    mapping = ColumnMapping(
        user="email",
        item="lineitem sku",
        time="created at",
        value="lineitem price",
        quantity="lineitem quantity",
        order="name",
        currency="currency",
        status="financial status",
        priced=True,
    )
    told = {meaning: own[name] for meaning, name in mapping.by_meaning().items() if name in own}
    shaped = Shaped(mapping, list(own.values()), told, reshaping, lambda table: {GUEST: table["email"] == ""})
    return events_part(path, form="Shopify orders", options=options, header=list(header), shaped=shaped)


def products_part(path: Path, header: Sequence[str], options: SourceOptions) -> Part:
    """Return the part of an export of products."""
    names = ("handle", *_PRODUCT, "image src", *_VARIANT)
    own = own_names(header, names)

    def reshaping() -> Reshape:
        carried = Carried("handle", _PRODUCT, of_first=["image src"])

        def reshape(block: Block) -> Block:
            table = carried(renamed(block.table, own, names))
            variants = (table["variant sku"] != "") | (table["variant price"] != "")
            return only(replace(block, table=_variants(table, tracked="variant inventory tracker" in own)), variants)

        return reshape

    columns = ItemColumns(
        item="variant sku",
        title="title",
        brand="vendor",
        prices=("variant price",),
        available="available",
        image="image",
        stock="stock",
        product="handle",
        categories=("product category", "type"),
    )
    return items_part(path, form="Shopify products", layout=options.layout, reshaping=reshaping, columns=columns)


def _variants(table: pd.DataFrame, *, tracked: bool) -> pd.DataFrame:
    """Add what the columns of several names say together. Stock counts where Shopify counts it and stops at zero."""
    sold = ~table["status"].str.casefold().isin(("draft", "archived"))
    shown = table["published"].str.casefold() != "false"
    counted = table["variant inventory policy"].str.casefold() != "continue"
    if tracked:
        counted &= table["variant inventory tracker"] != ""
    return table.assign(
        available=(sold & shown).map({True: "true", False: "false"}),
        stock=table["variant inventory qty"].where(counted, ""),
        image=table["variant image"].where(table["variant image"] != "", table["image src"]),
    )
