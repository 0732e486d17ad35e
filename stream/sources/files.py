"""Files as columns: CSV and its kin, JSON lines and Parquet, as they lie there or compressed.

Arrives: a path. Leaves: a table whose cells are text, times, or what JSON and Parquet nest; what cannot be read as a
row is counted. Next: `stream.sources.tabular` makes events of the columns, `stream.sources.catalogue` items.
"""

import bz2
import gzip
import lzma
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import pandas as pd

from stream.events import EARLIEST, milliseconds

JSON_SUFFIXES = (".jsonl", ".json", ".ndjson")
PARQUET_SUFFIXES = (".parquet", ".pq")
SEPARATORS = ("\t", "::", ";", "|", ",")
"""Of those that the first line holds the most frequent one is taken, of equals the first."""

UNNAMED = "-"
"""In a list of column names: one that nobody wants."""

RATING_COLUMNS = ("user", "item", "rating", "timestamp")
"""What many published files hold without saying so in a header."""

LATEST_MS = 4_102_444_800_000
"""The year 2100: what lies beyond is a time in another unit, or none."""

MAX_JSON_LINE = 4 * 1024 * 1024
MAX_JSON_KEYS = 256
KEY_LINES = 1000
"""The columns of JSON lines are the keys of so many lines, so that odd lines cannot make a table without end."""

MAX_LISTED = 20

_GZIP = b"\x1f\x8b"


class UnreadableFile(ValueError):
    """The file cannot be read as a table; the message says why."""


def read_columns(path: Path, *, names: Sequence[str] | None = None) -> tuple[pd.DataFrame, dict[str, int]]:
    """The columns of a file, the format told by its suffix, and how many rows were no rows, by reason.

    `names` are those of a CSV file without a header. Raises `UnreadableFile` for what is no table or of another
    encoding than UTF-8.
    """
    suffix = next((end for end in reversed(path.suffixes) if end.lower() not in (".gz", ".bz2", ".xz")), "").lower()
    try:
        if suffix in PARQUET_SUFFIXES:
            return _parquet(path), {}
        with _opened(path) as file:
            return _json_lines(file) if suffix in JSON_SUFFIXES else _delimited(file, names)
    except UnreadableFile as error:
        raise UnreadableFile(f"{path}: {error}") from error
    except (
        UnicodeDecodeError,
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
        EOFError,
        OSError,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        raise UnreadableFile(f"{path}: {error}") from error


def plain_name(header: str) -> str:
    """A column's name as it is compared: lower case, `user_id:token` (RecBole's typed headers) as `user_id`."""
    name, _, kind = header.strip().lower().partition(":")
    return name if kind in ("", "token", "token_seq", "float", "float_seq") else header.strip().lower()


def listed(names: Iterable[str]) -> str:
    """The names for a message, not all where there are many."""
    shown = list(names)
    return ", ".join(shown[:MAX_LISTED]) + (f" and {len(shown) - MAX_LISTED} more" if len(shown) > MAX_LISTED else "")


def text(column: "pd.Series[Any]") -> "pd.Series[str]":
    """The cells as text without spaces around it; empty where there is none."""
    if column.dtype == object:
        column = column.map(lambda cell: "" if cell is None else str(cell))
    return column.astype("string").fillna("").str.strip()


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        packed = raw.read(len(_GZIP)) == _GZIP
        raw.seek(0)
        if packed:
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
        elif path.suffix in (".bz2", ".xz"):
            yield cast("IO[bytes]", (bz2.open if path.suffix == ".bz2" else lzma.open)(raw))
        else:
            yield raw


def _delimited(file: IO[bytes], names: Sequence[str] | None) -> tuple[pd.DataFrame, dict[str, int]]:
    first = file.readline(MAX_JSON_LINE).decode("utf-8-sig")
    file.seek(0)
    bare = re.sub(r'"[^"]*"', "", first)
    separator = max(SEPARATORS, key=bare.count) if any(mark in bare for mark in SEPARATORS) else ","
    cells = [cell.strip().strip('"') for cell in first.rstrip("\r\n").split(separator)]
    if names is None and _is_rating(cells):
        names = RATING_COLUMNS
    if names is not None:
        names = [f"{UNNAMED}{place}" if name in ("", UNNAMED) else name for place, name in enumerate(names)]
        if len(set(names)) < len(names):
            raise UnreadableFile(f"two columns of one name: {', '.join(names)}")
    if len(separator) > 1:  # pandas reads separators of one character fast, others slowly
        file, separator = BytesIO(file.read().replace(separator.encode(), b"\t")), "\t"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", pd.errors.ParserWarning)
        table = pd.read_csv(
            file,
            sep=separator,
            dtype="string",
            encoding="utf-8-sig",
            keep_default_na=False,
            index_col=False,
            header=None if names is not None else "infer",
            names=names,
            on_bad_lines="warn",
        )
    messages = [str(warning.message) for warning in told]
    if any(message.startswith("Length of header") for message in messages):
        # The cells beyond the header would be dropped, of every row.
        raise UnreadableFile("rows have more cells than the header has names")
    skipped = sum(message.count("Skipping line") for message in messages)
    return table, {"too many cells": skipped} if skipped else {}


def _is_rating(cells: list[str]) -> bool:
    """Whether a first line is data: somebody, something, a number and a time since 1990 in seconds or milliseconds."""
    try:
        float(cells[2])
        time = float(cells[3])
    except (ValueError, IndexError):
        return False
    earliest = milliseconds(EARLIEST)
    return len(cells) == 4 and (earliest <= time <= LATEST_MS or earliest <= time * 1000 <= LATEST_MS)


def _json_lines(file: IO[bytes]) -> tuple[pd.DataFrame, dict[str, int]]:
    rows: list[dict[str, Any]] = []
    keys: dict[str, None] = {}
    rejected: dict[str, int] = {}
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    while line := file.readline(MAX_JSON_LINE):
        long = len(line) == MAX_JSON_LINE and not line.endswith(b"\n")
        rest = line
        while len(rest) == MAX_JSON_LINE and not rest.endswith(b"\n"):
            rest = file.readline(MAX_JSON_LINE)
        if long:
            rejected["line too long"] = rejected.get("line too long", 0) + 1
            continue
        line = line.strip().removeprefix(b"\xef\xbb\xbf")
        if not line:
            continue
        try:
            row = decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            rejected["no JSON object"] = rejected.get("no JSON object", 0) + 1
            continue
        if len(rows) < KEY_LINES:
            keys.update(dict.fromkeys(list(row)[: MAX_JSON_KEYS - len(keys)]))
        # The rest of a row would only take memory.
        rows.append({key: value for key, value in row.items() if key in keys})
    if not rows:
        raise UnreadableFile("no line is a JSON object")
    return pd.DataFrame({key: _json_column([row.get(key) for row in rows]) for key in keys}), rejected


def _json_column(values: list[Any]) -> "pd.Series[Any]":
    if any(isinstance(value, list | dict) for value in values):
        return pd.Series(values, dtype="object")
    return pd.Series(["" if value is None else str(value) for value in values], dtype="string")


def _parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
        return pd.DataFrame({name: _arrow_column(table[name]) for name in table.column_names})
    except pa.ArrowException as error:
        raise UnreadableFile(str(error)) from error


def _arrow_column(column: Any) -> "pd.Series[Any]":
    import pyarrow as pa
    from pyarrow import compute, types

    kind = column.type
    if types.is_timestamp(kind) or types.is_date(kind):
        return pd.Series(column.cast(pa.timestamp("us", tz=getattr(kind, "tz", None))).to_pandas())
    if types.is_nested(kind):
        return pd.Series(column.to_pylist(), dtype="object")
    if types.is_floating(kind):
        # A column of whole numbers with gaps is often stored as floats: 12345.0 is the customer 12345.
        column = compute.if_else(compute.is_finite(column), column, pa.scalar(None, kind))
        if compute.all(compute.equal(compute.floor(column), column)).as_py():
            column = compute.cast(column, pa.int64(), safe=False)
    return pd.Series(column.cast(pa.string()).to_pandas(), dtype="string")
