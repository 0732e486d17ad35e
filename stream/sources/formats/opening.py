"""A file opened in the format that its name and its first bytes show.

Arrives: a path. Leaves: a `ColumnFile`. Next: `stream.sources.tabular` makes events of the columns,
`stream.sources.catalogue` items.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from stream.sources.files.compressed import UnreadableFile, format_suffix, is_workbook, named, opened
from stream.sources.formats.columns import ColumnFile
from stream.sources.options import Layout
from stream.sources.rejections import Rejections

JSON_SUFFIXES = (".jsonl", ".json", ".ndjson")


PARQUET_SUFFIXES = (".parquet", ".pq")
PARQUET_BEGIN = b"PAR1"
"""The first bytes of a Parquet file, whatever its name is."""


@contextmanager
def open_columns(path: Path, rejections: Rejections, layout: Layout | None = None) -> Iterator[ColumnFile]:
    """The file in the format that its suffix and its first bytes tell. Raises `UnreadableFile` with the path in it."""
    from stream.sources.formats.delimited import Delimited
    from stream.sources.formats.json_rows import open_json
    from stream.sources.formats.parquet import ParquetColumns
    from stream.sources.formats.workbook import WorkbookColumns
    from stream.sources.formats.xml_feed import BEGINS, XmlFeed

    layout = layout or Layout()
    with named(path):
        if is_workbook(path):
            yield WorkbookColumns(path)
            return
    with named(path), opened(path) as file:
        suffix = format_suffix(file.name)
        if suffix in PARQUET_SUFFIXES or file.peek().startswith(PARQUET_BEGIN):
            if file.packed:
                raise UnreadableFile("Parquet in a packed file, which is read from its end: unpack it first")
            yield ParquetColumns(path)
        elif suffix in JSON_SUFFIXES:
            yield open_json(file, rejections)
        elif file.peek().lstrip(b"\xef\xbb\xbf \t\r\n").startswith(BEGINS):
            yield XmlFeed(file)
        else:
            yield Delimited(file, layout, rejections)


def read_columns(path: Path, rejections: Rejections, layout: Layout | None = None) -> pd.DataFrame:
    """All columns of a file at once, for a file that fits into memory. Raises `UnreadableFile`."""
    with open_columns(path, rejections, layout) as columns:
        tables = [block.table for block in columns.blocks(columns.header)]
        if not tables:
            return pd.DataFrame({name: pd.Series([], dtype="string") for name in columns.header})
        return pd.concat(tables, ignore_index=True)


def header_of(path: Path, layout: Layout | None = None) -> list[str]:
    """The names of a file's columns. Raises `UnreadableFile`."""
    with open_columns(path, Rejections(), layout) as columns:
        return list(columns.header)
