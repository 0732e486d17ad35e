"""Amazon: reads reviews and metadata in the forms of 2014, 2018 and 2023.

Arrives: files of He & McAuley 2016 (2014), Ni, Li & McAuley 2019 (2018) and Hou et al. 2024 (2023). Reviews and
metadata are JSON lines, ratings are CSV with or without a header. A folder with a heterogeneous graph of this data
(`user_item.dat`, `item_brand.dat`, …) also works. Leaves: one rating for each review, and items. Next:
`stream.sources.source`.

The content decides the form, not the file name. Ratings of 2014 have the user first, ratings of 2018 the item first,
both without a header. So the first rows vote, by the pattern of Amazon's ids.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from stream.sources.catalogue import items_part
from stream.sources.datasets import hin
from stream.sources.formats.delimited import RATING_COLUMNS
from stream.sources.formats.opening import header_of, open_columns
from stream.sources.options import Layout, SourceOptions
from stream.sources.rejections import Rejections
from stream.sources.source import Part, Source, UnknownForm, recognised
from stream.sources.tabular import events_part

REVIEWS = (
    ("reviews of 2023", {"user_id", "parent_asin", "rating", "timestamp", "title"}),
    ("ratings of 2023", {"user_id", "parent_asin", "rating", "timestamp"}),
    ("reviews of 2018", {"reviewerID", "asin", "overall", "verified"}),
    ("reviews of 2014", {"reviewerID", "asin", "overall", "unixReviewTime", "helpful"}),
    ("ratings of 2014", {"reviewerID", "asin", "overall", "unixReviewTime"}),
    ("reviews in order", {"reviewerID", "asin"}),
)
"""The columns of each form. The first form with all columns in the file is used."""

ITEMS = (
    ("metadata of 2023", {"parent_asin", "main_category"}),
    ("metadata of 2023", {"parent_asin", "title"}),
    ("metadata of 2018", {"asin", "category"}),
    ("metadata of 2014", {"asin", "categories"}),
    ("items", {"asin"}),
)

ITEM_FIRST = ("item", "user", "rating", "timestamp")
VOTERS = 1000

_USER = re.compile(r"A[0-9A-Z]{9,40}")
_ITEM = re.compile(r"B[0-9A-Z]{9}|[0-9]{9}[0-9X]")


def open_files(paths: Sequence[Path]) -> Source:
    """Return the source for these files and folders. Raises `UnreadableFile`."""
    return recognised(paths, _recognise, together=hin.parts)


def _recognise(path: Path) -> Part:
    header = header_of(path)
    if header == list(RATING_COLUMNS):
        return _headerless(path)
    known = set(header)
    events = next((form for form, columns in REVIEWS if columns <= known), None)
    if events is not None:
        columns = {"value": "rating"} if "parent_asin" in known else {}
        return events_part(path, form=f"Amazon {events}", options=SourceOptions(columns))
    items = next((form for form, columns in ITEMS if columns <= known), None)
    if items is None:
        raise UnknownForm(f"{path}: no Amazon file: it has {', '.join(header[:20])}")
    return items_part(path, form=f"Amazon {items}")


def _headerless(path: Path) -> Part:
    """Decide by the first rows whether the user or the item is the first column."""
    with open_columns(path, Rejections()) as file:
        table = next(block.table for block in file.blocks(RATING_COLUMNS)).head(VOTERS)
    pairs = list(zip(table["user"], table["item"], strict=True))
    user_first = sum(bool(_USER.fullmatch(first) and _ITEM.fullmatch(second)) for first, second in pairs)
    item_first = sum(bool(_ITEM.fullmatch(first) and _USER.fullmatch(second)) for first, second in pairs)
    if user_first == item_first:
        raise UnknownForm(
            f"{path}: no header, and neither the first nor the second column holds Amazon's user ids: "
            "name the columns with `import table --columns user,item,rating,timestamp`"
        )
    if user_first > item_first:
        return events_part(path, form="Amazon ratings of 2014, without a header")
    options = SourceOptions(layout=Layout(names=ITEM_FIRST))
    return events_part(path, form="Amazon ratings of 2018, without a header", options=options)
