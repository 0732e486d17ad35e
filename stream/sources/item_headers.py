"""Item headers: which column of a file of items means what.

Arrives: the header of a file, and the columns that its owner names. Leaves: `ItemColumns`. Next:
`stream.sources.item_entries` reads the cells.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stream.sources.files.compressed import NotUnderstood, UnreadableFile, listed
from stream.sources.headers import KNOWN_HEADERS, plain_name

ITEM_HEADERS: Mapping[str, tuple[str, ...]] = {
    "title": (
        *("title", "name", "item_name", "product_name", "movie_title", "prod_name", "book-title", "book_title"),
        *("product_title", "description", "product_description"),
    ),
    "brand": ("brand", "store", "manufacturer", "brand_name", "vendor", "book-author", "author"),
    "price": ("price", "unit_price", "list_price", "sale_price", "regular price", "variant price"),
    "available": ("available", "availability", "in_stock", "in stock?", "stock", "is_hidden", "discontinued"),
    "url": ("url", "link", "product_url", "permalink"),
    "image": (
        "image_link",
        "image_url",
        "image",
        "image src",
        "image-url-l",
        "image-url-m",
        "image-url-s",
        "thumbnail",
    ),
    "stock": ("stock", "stock_quantity", "inventory", "inventory_quantity", "variant inventory qty"),
    "product": ("item_group_id", "product_code", "product_group_id", "parent_id", "parent_sku"),
}
"""Header names (lower case) by meaning. The first one in a file is used."""

CATEGORY_HEADERS = (
    "department",
    "main_category",
    "product_category",
    "product_category_name",
    "category",
    "categories",
    "genres",
    "genre",
    "class",
    "attributes",
    "index_name",
    "product_group_name",
    "department_name",
    "product_type_name",
    "category_l1",
    "category_l2",
    "category_l3",
    "google_product_category",
    "product_type",
    "tags",
    "commodity_desc",
    "sub_commodity_desc",
)
"""Category headers from wide to narrow. All of them in a file are used."""

NAMED = ("title", "category", "brand", "available")
"""The meanings whose columns the file's owner can name, beside the item and the price."""


@dataclass(frozen=True)
class ItemColumns:
    """The column of each meaning; None: the file has no such column."""

    item: str
    title: str | None = None
    brand: str | None = None
    prices: Sequence[str] = ()
    """Of a row the first of them that has a price."""
    available: str | None = None
    url: str | None = None
    image: str | None = None
    stock: str | None = None
    product: str | None = None
    categories: Sequence[str] = ()

    def by_meaning(self) -> dict[str, str]:
        """Return the columns that were found, by what they mean; several of one meaning are joined by `+`."""
        single = ("item", "title", "brand", "available", "url", "image", "stock", "product")
        found = {meaning: getattr(self, meaning) for meaning in single}
        found |= {"categories": " + ".join(self.categories), "price": " + ".join(self.prices)}
        return {meaning: name for meaning, name in found.items() if name}

    @property
    def columns(self) -> list[str]:
        """The columns to read."""
        single = (self.item, self.title, self.brand, self.available, self.url, self.image, self.stock, self.product)
        return list(dict.fromkeys(name for name in (*single, *self.prices, *self.categories) if name))

    def in_words(self) -> str:
        """Return the columns in one line."""
        return " · ".join(f"{meaning} = {name!r}" for meaning, name in self.by_meaning().items())


def item_column(header: Iterable[str]) -> str | None:
    """Return the item column of a header, or None when no name is known."""
    plain = {plain_name(name): name for name in header}
    return next((plain[name] for name in KNOWN_HEADERS["item"] if name in plain), None)


def item_columns(
    header: Sequence[str], item: str | None = None, given: Mapping[str, str | None] | None = None
) -> ItemColumns:
    """Return the columns of a file of items. `item` and the `given` columns (`NAMED` and price) come first.

    Raises `UnreadableFile` without an item column, and for a named column that the file does not have.
    """
    said = {meaning: name for meaning, name in (given or {}).items() if name and meaning in (*NAMED, "price")}
    for name in (item, *(name for meaning, name in said.items() if meaning != "price")):
        if name is not None and name not in header:
            raise UnreadableFile(f"no column {name!r}: the file has {listed(header)}")
    if said.get("price") not in header:  # it may be the one of the interactions
        said.pop("price", None)
    found = item or item_column(header)
    if found is None:
        raise UnreadableFile(f"no column for item: the file has {listed(header)}")
    plain = {plain_name(name): name for name in header}
    known = {
        meaning: next((plain[name] for name in names if plain.get(name) not in (None, found)), None)
        for meaning, names in ITEM_HEADERS.items()
    }
    price = said.get("price") or known.pop("price")
    known |= {meaning: name for meaning, name in said.items() if meaning not in ("category", "price")}
    known.pop("price", None)
    shelves = [plain[name] for name in CATEGORY_HEADERS if name in plain]
    return ItemColumns(
        found,
        **known,
        prices=() if price is None else (price,),
        categories=(said["category"],) if "category" in said else tuple(shelves),
    )


def refuse_bare(columns: ItemColumns, header: Sequence[str]) -> None:
    """Raise `NotUnderstood` when nothing but the id of a file of items is understood."""
    if len(columns.columns) == 1:
        raise NotUnderstood(
            f"of its items only the id {columns.item!r} is understood: name another column with --title-col, "
            f"--category-col, --brand-col, --price-col or --available-col: the file has {listed(header)}"
        )
