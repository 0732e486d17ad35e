"""Nested: columns of a table that a path names, as `properties.products[].product_id`.

Arrives: a file whose rows hold objects and lists (JSON, Parquet, or JSON in the cells of a text file), and the names
that its owner gives to columns. Leaves: the same file with a column for each path. Next: `stream.sources.tabular`.

A path goes into objects by their keys; `[]` behind a key stands for each member of the list in it. A row with such a
list becomes a row for each member, and the columns that are not in the list are repeated. A key with a point in it is
found before a path is. `date,clock` is a column for a date and a clock time in two columns. `item_1,item_2,item_3`, or
`item_*`, is a column of the items that stand in several columns of a wide row: a basket.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from stream.sources.baskets import repeated
from stream.sources.clocks import joined
from stream.sources.files.compressed import NotUnderstood
from stream.sources.formats.columns import Block, ColumnFile, text
from stream.sources.formats.opening import open_columns
from stream.sources.headers import KNOWN_HEADERS, plain_name
from stream.sources.options import SourceOptions
from stream.sources.rejections import Rejections

EACH = "[]"
JOIN = ","
PARTS = 2
"""`date,clock` names two columns."""


@contextmanager
def open_table(path: Path, rejections: Rejections, options: SourceOptions) -> Iterator[ColumnFile]:
    """Open the file with the columns that the options name by paths. Raises `UnreadableFile` with the path in it."""
    with open_columns(path, rejections, options.layout) as file:
        given = [name for name in (*options.columns.values(), options.explode) if name is not None]
        wide = wide_columns(options.columns.get("item"), file.header)
        found = [name for name in paths_of(given, file.header) if name not in wide]
        yield NestedColumns(file, found, wide) if found or wide else file


def given_columns(header: Sequence[str], options: SourceOptions) -> dict[str, str | None]:
    """Return the given columns by meaning; a column to part is the items', where it is not known as another's."""
    given, parted = dict(options.columns), options.explode
    if parted is not None and parted in header and parted not in given.values() and given.get("item") is None:
        known = next((meaning for meaning, names in KNOWN_HEADERS.items() if plain_name(parted) in names), "item")
        if known == "item":
            given["item"] = parted
    return given


def paths_of(given: Iterable[str], header: Sequence[str]) -> list[str]:
    """Return the names that are paths into a column of the header."""
    return list(
        dict.fromkeys(name for name in given if name not in header and all(root in header for root in _roots(name)))
    )


def wide_columns(name: str | None, header: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns that a name of several columns stands for, by this name; empty where it names one column."""
    if name is None or name in header:
        return {}
    patterns = [part.strip() for part in name.split(JOIN)]
    found = [column for column in header if any(fnmatchcase(column, pattern) for pattern in patterns)]
    return {name: found} if len(found) > 1 else {}


class NestedColumns(ColumnFile):
    """A file with columns by path behind its own."""

    def __init__(self, file: ColumnFile, paths: Sequence[str], wide: Mapping[str, Sequence[str]]) -> None:
        """Raises `NotUnderstood` when the paths go through more than one list, whose members cannot be paired."""
        self.header = [*file.header, *paths, *wide]
        self._wide = wide
        self.unit = file.unit
        self._file = file
        self._joined = {path: _roots(path) for path in paths if JOIN in path}
        self._paths = {path: path.split(".") for path in paths if path not in self._joined}
        lists = {".".join(steps[: _last_list(steps) + 1]) for steps in self._paths.values() if _last_list(steps) >= 0}
        if len(lists) > 1:
            raise NotUnderstood(f"the paths go through several lists: {', '.join(sorted(lists))}")

    @property
    def share(self) -> float:
        """See `ColumnFile.share`."""
        return self._file.share

    def blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        """See `ColumnFile.blocks`."""
        roots = [root for name in wanted for root in self._made_of(name)]
        for block in self._file.blocks(list(dict.fromkeys(roots))):
            yield self._with_paths(block, wanted)

    def _made_of(self, name: str) -> Sequence[str]:
        if name in self._wide:
            return self._wide[name]
        return _roots(name) if name in self._paths or name in self._joined else [name]

    def _with_paths(self, block: Block, wanted: Sequence[str]) -> Block:
        found: dict[str, list[list[Any]]] = {}
        sizes = np.ones(len(block.table), dtype=np.int64)
        for name in wanted:
            if name in self._paths:
                cells = [
                    _along(_read(cell), self._paths[name][0], self._paths[name][1:])
                    for cell in block.table[_root(name)]
                ]
                found[name] = cells
                sizes = np.maximum(sizes, [len(cell) for cell in cells])
        many = repeated(block, sizes) if sizes.max(initial=1) > 1 else block
        columns = {
            name: _column(
                [
                    _at(cell, place, size)
                    for cell, size in zip(cells, sizes.tolist(), strict=True)
                    for place in range(size)
                ]
            )
            for name, cells in found.items()
        }
        columns |= {
            name: joined(*(many.table[part] for part in parts))
            for name, parts in self._joined.items()
            if name in wanted
        }
        columns |= {name: _baskets(many.table[list(own)]) for name, own in self._wide.items() if name in wanted}
        table = pd.DataFrame({name: columns[name] if name in columns else many.table[name] for name in wanted})
        return Block(table, many.numbers, many.places, many.cells, many.pieces)


def _roots(name: str) -> list[str]:
    """Return the columns that a name is made of: one that a path begins with, or a date and a clock."""
    parts = [part.strip() for part in name.split(JOIN)]
    return parts if len(parts) == PARTS else [_root(name)]


def _baskets(cells: pd.DataFrame) -> "pd.Series[Any]":
    """Return the list of each row's cells that are not empty."""
    columns = [text(cells[name]).tolist() for name in cells]
    return pd.Series([[cell for cell in row if cell] for row in zip(*columns, strict=True)], dtype="object")


def _root(path: str) -> str:
    return path.split(".")[0].removesuffix(EACH)


def _last_list(steps: Sequence[str]) -> int:
    return max((place for place, step in enumerate(steps) if step.endswith(EACH)), default=-1)


def _read(cell: Any) -> Any:
    """Return what the cell holds; a text with JSON in it is read."""
    if isinstance(cell, str) and cell.lstrip()[:1] in ("{", "["):
        try:
            return msgspec.json.decode(cell)
        except (msgspec.DecodeError, RecursionError):
            return None
    return cell


def _along(value: Any, step: str, rest: Sequence[str]) -> list[Any]:
    """Return what stands at the end of the path: one value, or one for each member of a list; None where it ends."""
    members = (list(value) if isinstance(value, list | tuple | np.ndarray) else []) if step.endswith(EACH) else [value]
    if not rest:
        return members or [None]
    key = rest[0].removesuffix(EACH)
    inner = [_along(member.get(key) if isinstance(member, dict) else None, rest[0], rest[1:]) for member in members]
    return [found for cells in inner for found in cells] or [None]


def _at(cell: list[Any], place: int, size: int) -> Any:
    return cell[place] if len(cell) == size else cell[0] if len(cell) == 1 else None


def _column(values: list[Any]) -> "pd.Series[Any]":
    if any(isinstance(value, list | dict) for value in values):
        return pd.Series(values, dtype="object")
    return pd.Series(["" if value is None else str(value) for value in values], dtype="string")
