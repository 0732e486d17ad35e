"""Gorse: the CSV files of its dump, users, items and feedback.

Arrives: `users.csv` (`user_id,labels`), `items.csv` (`item_id,is_hidden,categories,time_stamp,labels,description`) and
`feedback.csv` (`feedback_type,user_id,item_id,time_stamp`, newer ones with a `value`). Leaves: attributes, items and
events of the types that `serving.web.gorse` gives them, too. Next: the readers of tables.

A value of 0 is Gorse's word for no value. A star with a value of at most 1 counts how often it was given and is no bad
rating, so it is a rating of `LIKED`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from stream.sources.catalogue import items_part
from stream.sources.cell_columns import amounts
from stream.sources.event_names import FEEDBACK, LIKED, plain_event
from stream.sources.formats.columns import text
from stream.sources.headers import guess_columns
from stream.sources.item_headers import item_columns
from stream.sources.options import SourceOptions
from stream.sources.people import users_part
from stream.sources.shaping import Shaped, of_tables
from stream.sources.source import Part
from stream.sources.tabular import events_part

FEEDBACK_NEEDS = frozenset(("feedback_type", "user_id", "item_id"))
ITEM_NEEDS = frozenset(("item_id", "is_hidden", "categories"))
USER_NEEDS = frozenset(("user_id", "labels"))

TYPES = {name: kind.value for name, (kind, _) in FEEDBACK.items()}
_LIKING = tuple(name for name, (_, value) in FEEDBACK.items() if value is not None)


def feedback_part(path: Path, header: Sequence[str], options: SourceOptions) -> Part:
    """Return the part of a file of feedback."""
    given = {"type": "feedback_type", "user": "user_id", "item": "item_id"}
    mapping = guess_columns(list(header), given)
    valued = "value" if mapping.value is None else mapping.value

    def of_table(table: pd.DataFrame) -> pd.DataFrame:
        kinds = text(table["feedback_type"]).map(plain_event)
        values = amounts(table[valued]) if valued in table else pd.Series(float("nan"), index=table.index)
        values = values.mask(values == 0)
        return table.assign(**{valued: values.mask(kinds.isin(_LIKING) & ~(values > 1), LIKED)})

    known = replace(options, type_names={**TYPES, **options.type_names})
    shaped = Shaped(
        replace(mapping, value=valued, priced=False),
        mapping.columns,
        mapping.by_meaning(),
        of_tables(of_table),
    )
    return events_part(path, form="Gorse feedback", options=known, header=list(header), shaped=shaped)


def gorse_items_part(path: Path, header: Sequence[str], options: SourceOptions) -> Part:
    """Return the part of a file of items. Its title is the description, in newer files the comment."""
    titles = [name for name in ("description", "comment") if name in header][:1]
    given = {**({"title": titles[0]} if titles else {}), **{k: v for k, v in options.columns.items() if v is not None}}
    columns = item_columns(header, "item_id", given)
    return items_part(path, form="Gorse items", layout=options.layout, columns=columns)


def gorse_users_part(path: Path, header: Sequence[str], options: SourceOptions) -> Part:
    """Return the part of a file of users, with their labels as attributes."""
    return users_part(path, form="Gorse users", user="user_id", labels="labels", layout=options.layout)
