"""Google Merchant feeds: the products of a shop as it sends them to Google, in TSV, CSV or XML.

Arrives: a feed with `id`, `title` and `availability`; names may have a `g:` before them and blanks in them. Leaves:
items, whose product is the `item_group_id`. Next: `stream.sources.catalogue`.

Categories are the path of `product_type`, and that of `google_product_category` where there is none; a path is not
split at commas, which names have (`Food, Beverages & Tobacco > Beverages`). Rejected: `sale_price`, which is the price
within a span of time only.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from stream.sources.catalogue import items_part
from stream.sources.formats.columns import text
from stream.sources.item_headers import ItemColumns
from stream.sources.options import SourceOptions
from stream.sources.shaping import of_tables
from stream.sources.source import Part

NEEDS = frozenset(("id", "title", "availability"))
AND_ONE_OF = frozenset(("link", "image_link", "google_product_category", "item_group_id", "gtin"))

_NAMES = (
    *("id", "title", "brand", "price", "availability", "link", "image_link", "item_group_id", "product_type"),
    "google_product_category",
)
GONE = ("out of stock", "discontinued", "sold out")


def plain(name: str) -> str:
    """Return the name of an attribute as Google's specification writes it."""
    return name.strip().lower().removeprefix("g:").replace(" ", "_")


def recognises(header: Sequence[str]) -> bool:
    """Return whether the columns are those of a feed."""
    known = set(map(plain, header))
    return known >= NEEDS and bool(known & AND_ONE_OF)


def feed_part(path: Path, header: Sequence[str], options: SourceOptions) -> Part:
    """Return the part of a feed."""
    own = {plain(name): name for name in reversed(header)}

    def of_table(table: pd.DataFrame) -> pd.DataFrame:
        nothing = pd.Series("", index=table.index, dtype="string")
        found = pd.DataFrame({name: text(table[own[name]]) if name in own else nothing for name in _NAMES})
        states = found["availability"].str.casefold().str.replace("_", " ")
        kinds = found["google_product_category"]
        kinds = kinds.where(~kinds.str.fullmatch(r"\d+"), "")  # a number of Google's own list names nothing
        shelf = found["product_type"].where(found["product_type"] != "", kinds)
        return found.assign(
            availability=states.isin(GONE).map({True: "false", False: "true"}),
            categories=shelf.map(_path).astype(object),
        )

    columns = ItemColumns(
        item="id",
        title="title",
        brand="brand",
        prices=("price",),
        available="availability",
        url="link",
        image="image_link",
        product="item_group_id",
        categories=("categories",),
    )
    return items_part(
        path, form="Google Merchant feed", layout=options.layout, reshaping=of_tables(of_table), columns=columns
    )


def _path(cell: str) -> list[str]:
    return [name.strip() for name in cell.split(">") if name.strip()]
