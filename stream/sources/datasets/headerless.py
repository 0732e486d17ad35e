"""Files without a header that are known by the form of their first line: YooChoose and Taobao.

Arrives: `yoochoose-clicks.dat` (session, time, item, category), `yoochoose-buys.dat` (session, time, item, price,
quantity) and `UserBehavior.csv` (user, item, category, behaviour, seconds). Leaves: events; of Taobao and of the clicks
the items with the number of their category. Next: `stream.sources.tabular`.

A session of YooChoose is its shopper; a price or a quantity of 0 is an unknown one. Taobao's `fav` shows the interest
of a click.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from stream.events import EventType
from stream.sources.cell_columns import amounts
from stream.sources.headers import guess_columns
from stream.sources.item_headers import ItemColumns
from stream.sources.options import Layout, SourceOptions
from stream.sources.shaping import Shaped, of_tables
from stream.sources.source import Part
from stream.sources.tabular import events_part

_ID = r"\d{1,19}"
_ISO = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"


@dataclass(frozen=True)
class Headerless:
    """A form: its columns, and the pattern of each cell."""

    form: str
    names: Sequence[str]
    cells: Sequence[str]
    event_type: EventType | None = None


FORMS = (
    Headerless(
        "YooChoose clicks",
        ("session", "timestamp", "item", "category"),
        (_ID, _ISO, _ID, r"S|\d{0,10}"),
        EventType.CLICK,
    ),
    Headerless(
        "YooChoose buys",
        ("session", "timestamp", "item", "price", "quantity"),
        (_ID, _ISO, _ID, r"\d+(?:\.\d+)?", r"\d+"),
        EventType.PURCHASE,
    ),
    Headerless(
        "Taobao UserBehavior",
        ("user", "item", "category", "behavior", "timestamp"),
        (_ID, _ID, _ID, "pv|buy|cart|fav", r"-?\d{1,10}"),
    ),
)
TYPES = {"fav": EventType.CLICK.value}
NO_CATEGORY = ("", "0", "S")
"""An unknown category of YooChoose, and its mark for a special offer."""


def form_of(first: Sequence[str]) -> Headerless | None:
    """Return the form of which the cells of a first line are a row."""
    return next((form for form in FORMS if _fits(form.cells, first)), None)


def _fits(patterns: Sequence[str], cells: Sequence[str]) -> bool:
    return len(patterns) == len(cells) and all(map(re.fullmatch, patterns, cells))


def part(path: Path, form: Headerless, options: SourceOptions) -> Part:
    """Return the part of a file of the form."""
    kind = options.event_type or (None if form.event_type is None else form.event_type.value)
    known = replace(
        options,
        layout=Layout(names=form.names, encoding=options.layout.encoding),
        event_type=kind,
        type_names={**TYPES, **options.type_names},
    )
    header = list(form.names)
    mapping = guess_columns(header, {"price": "price"} if "price" in header else {})
    beside = ItemColumns("item", categories=("category",)) if "category" in header else None
    shaped = Shaped(mapping, header, mapping.by_meaning(), of_tables(_of_table))
    return events_part(path, form=form.form, options=known, header=header, shaped=shaped, beside=beside)


def _of_table(table: pd.DataFrame) -> pd.DataFrame:
    if "category" in table:
        return table.assign(category=table["category"].mask(table["category"].isin(NO_CATEGORY), ""))
    known = {name: amounts(table[name]) for name in ("price", "quantity")}
    return table.assign(**{name: numbers.mask(numbers == 0) for name, numbers in known.items()})
