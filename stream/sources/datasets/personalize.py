"""Amazon Personalize: the CSV files of its interactions, items and users.

Arrives: files whose columns are written in capitals, as its schemas want them. Leaves: events with `EVENT_VALUE` as
their value, items with `GENRES` and `CATEGORY_L1`…, and attributes of users. Next: the readers of tables.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stream.sources.catalogue import items_part
from stream.sources.files.compressed import named
from stream.sources.headers import KNOWN_HEADERS, plain_name
from stream.sources.item_headers import item_columns, refuse_bare
from stream.sources.options import SourceOptions
from stream.sources.people import users_part
from stream.sources.source import Part
from stream.sources.tabular import events_part

USER, ITEM, TIME, TYPE, VALUE = "USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE"
TYPES = {"watch": "view", "detailpageview": "view", "addtocart": "cart"}
"""Types of events of its domains, beside `stream.sources.event_names`."""


def part(path: Path, header: Sequence[str], options: SourceOptions) -> Part | None:
    """Return the part of one of the three files; None for another file."""
    if {USER, ITEM, TIME} <= set(header):
        columns = {"user": USER, "item": ITEM, "time": TIME}
        columns |= {meaning: name for meaning, name in (("type", TYPE), ("value", VALUE)) if name in header}
        known = replace(options, columns=columns, type_names={**TYPES, **options.type_names})
        return events_part(path, form="Personalize interactions", options=known, header=list(header))
    if ITEM in header and not _has(header, "user"):
        found = item_columns(header, ITEM, options.columns)
        with named(path):
            refuse_bare(found, header)
        return items_part(path, form="Personalize items", layout=options.layout, columns=found)
    # A file of orders or of events that names its items in another way is none of users.
    if USER in header and len(header) > 1 and not any(_has(header, meaning) for meaning in ("item", "time", "order")):
        return users_part(path, form="Personalize users", user=USER, layout=options.layout)
    return None


def _has(header: Sequence[str], meaning: str) -> bool:
    return any(plain_name(name) in KNOWN_HEADERS[meaning] for name in header)
