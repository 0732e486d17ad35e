"""Headers: which column of a table means what.

Arrives: the header of a file, and the columns that its owner names. Leaves: a `ColumnMapping`. Next:
`stream.sources.tabular` reads the columns, `stream.sources.catalogue` those of items.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from stream.sources.files.compressed import NotUnderstood, listed

GUESTS = ("customer user id", "customer_user_id")
"""Columns of WooCommerce, in which 0 is everybody who has no account."""

KNOWN_HEADERS: Mapping[str, tuple[str, ...]] = {
    "user": (
        *("user_id", "user", "reviewerid", "reviewer_id", "userid", "visitorid", "customer_id", "customer id"),
        *("customerid", "uid", "user id", "user-id", "customer", "buyer_id", "client_id", "member_id", "household_key"),
        *("household_id", "user_pseudo_id", *GUESTS, "email", "session_id", "sessionid", "session"),
    ),
    "item": (
        *("item_id", "item", "parent_asin", "asin", "itemid", "movieid", "movie_id", "product_id", "stockcode"),
        *("stock_code", "sku", "iid", "article_id", "product id", "productid", "item id", "product", "lineitem sku"),
        *("variant_id", "goods_id", "aid", "isbn"),
    ),
    "time": (
        *("event_time", "timestamp", "unixreviewtime", "time", "unixtime", "ts", "datetime", "date", "invoicedate"),
        *("invoice_date", "invoice date", "created_at", "created at", "order_date", "order date", "purchase_date"),
        *("t_dat", "transaction_date", "transaction_dt", "transaction_time", "event_timestamp", "event_date"),
        *("order_purchase_timestamp", "order_time", "purchase_time", "date_time", "time_stamp", "occurred_at"),
        *("originaltimestamp", "original_timestamp"),
    ),
    "value": (
        *(
            "value",
            "rating",
            "book-rating",
            "overall",
            "score",
            "price",
            "unit_price",
            "unitprice",
            "price_per_unit",
            "item_price",
        ),
        *("lineitem price", "item cost", "sale_price"),
    ),
    "type": ("event_type", "event", "type", "behavior", "behaviour", "event_name", "feedback_type"),
    "quantity": ("quantity", "qty", "count", "lineitem quantity"),
    "id": ("event_id", "eventid", "message_id", "messageid", "insert_id", "transaction_line_id"),
    "order": (
        *("order_id", "orderid", "order id", "order_number", "transactionid", "transaction_id", "basket_id"),
        *("invoice", "invoiceno"),
    ),
    "currency": ("currency", "currency_code"),
    "status": ("status", "order_status", "order status", "financial status", "financial_status"),
}
"""Header names (lower case) of shops and published files, by meaning. Of several the first one counts."""

MEANINGS = tuple(KNOWN_HEADERS)

_PRICE = re.compile(r"price|cost|amount|revenue|total|sales|paid|spend")


@dataclass(frozen=True)
class ColumnMapping:
    """The column of each meaning; None: the file has no such column. `priced`: the values are prices, not ratings."""

    user: str
    item: str
    time: str | None = None
    value: str | None = None
    type: str | None = None
    quantity: str | None = None
    id: str | None = None
    order: str | None = None
    currency: str | None = None
    status: str | None = None
    priced: bool = False

    def by_meaning(self) -> dict[str, str]:
        """Return the columns that were found, by what they mean; a value is a `price` or a `rating`."""
        found = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "priced"}
        named = {("price" if self.priced else "rating") if key == "value" else key: name for key, name in found.items()}
        return {meaning: name for meaning, name in named.items() if name is not None}

    @property
    def columns(self) -> list[str]:
        """The columns to read."""
        return list(dict.fromkeys(self.by_meaning().values()))


def plain_name(header: str) -> str:
    """Return a column name for comparison: lower case; `user_id:token` (RecBole's typed header) becomes `user_id`."""
    name, _, kind = header.strip().lower().partition(":")
    return name if kind in ("", "token", "token_seq", "float", "float_seq") else header.strip().lower()


def guess_columns(header: list[str], given: Mapping[str, str | None] | None = None) -> ColumnMapping:
    """Return the mapping of a header; `given` names come first. Raises `NotUnderstood` without user or item.

    A `given` price is a value that is a price. A value column without that word is one by its name.
    """
    named = dict(given or {})
    price = named.pop("price", None)
    if price is not None:
        named["value"] = price
    found: dict[str, str] = {}
    lower = {plain_name(name): name for name in reversed(header)}  # of equal names the first
    for meaning, names in KNOWN_HEADERS.items():
        chosen = named.get(meaning)
        if chosen is not None:
            if chosen not in header:
                raise NotUnderstood(f"no column {chosen!r}: the file has {listed(header)}")
            found[meaning] = chosen
        else:
            taken = {name for name in (named | found).values() if name}  # one column has one meaning
            match = next((lower[name] for name in names if name in lower and lower[name] not in taken), None)
            if match is not None:
                found[meaning] = match
    missing = [meaning for meaning in ("user", "item") if meaning not in found]
    if missing:
        option = " and ".join(f"--{meaning}-col" for meaning in missing)
        raise NotUnderstood(f"no column for {' and '.join(missing)}: the file has {listed(header)}; {option} names it")
    if twice := [name for name in found.values() if header.count(name) > 1]:
        raise NotUnderstood(f"two columns of one name: {listed(twice)}; name them with --columns")
    value = found.get("value")
    priced = price is not None or (value is not None and _PRICE.search(plain_name(value)) is not None)
    return ColumnMapping(**found, priced=priced)
