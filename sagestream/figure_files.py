"""Figure files: writes the lines of a report to a JSON, CSV or Parquet file.

Arrives: the lines of `monitoring.shop_report`. Leaves: a file with one row for each figure and each difference. Next:
a spreadsheet, a notebook, another program.
"""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from graphstore.files import written_whole
from monitoring.shop_report import Line, ShopReport

COLUMNS = ("kind", "start", "end", *(field.name for field in fields(Line)))
"""`kind` is `figure` or `difference`; `start` and `end` are the span, epoch ms."""


def rows_of(report: ShopReport) -> list[dict[str, Any]]:
    """Return a row with all `COLUMNS` for each figure, then for each difference."""
    span = {"start": report.metrics.span.start, "end": report.metrics.span.end}
    kinds: tuple[tuple[str, Sequence[Line]], ...] = (("figure", report.figures), ("difference", report.differences))
    return [{"kind": kind} | span | asdict(line) for kind, lines in kinds for line in lines]


def write_figures_file(path: Path, report: ShopReport) -> int:
    """Write the file in the format of its suffix; return the number of rows. A file of this name is replaced.

    Raises `KeyError` for a suffix that is not in `WRITERS`.
    """
    rows = rows_of(report)
    with written_whole(path) as made:
        WRITERS[path.suffix](made, rows)
    return len(rows)


def _write_json(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows, allow_nan=False, indent=1) + "\n", encoding="utf-8")


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    text, number, whole = pyarrow.string(), pyarrow.float64(), pyarrow.int64()
    types = {"kind": text, "segment": text, "metric": text, "unit": text, "start": whole, "end": whole, "n": whole}
    schema = pyarrow.schema([(name, types.get(name, number)) for name in COLUMNS])
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema), path)


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    ".json": _write_json,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
