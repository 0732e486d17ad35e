"""Delimited text: CSV, TSV, `::` and `|`, with or without a header, quoted or not.

Arrives: an open file. Leaves: blocks of text columns. Next: `stream.sources.formats.opening` returns them.

Rejected: pandas. Python's csv module knows the line of each record, and one bad record does not end the file. A quote
without an end would take in all following lines. Such a record ends after `MAX_RECORD_LINES`: its first line is
rejected, and the other lines are read again. The same happens when a stray quote ends at another stray quote and the
lines between them are rows. Rejected: DuckDB's reader with its table of rejects. It reads text in a quarter of the
time, but takes an open quote for a part of a cell and UTF-16 for garbage, both without a word. Rejected: polars, whose
reader stops at the first broken row and does not say its line. With tabs and `::` a quote is an ordinary character,
unless a cell in the first lines is quoted.
"""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stream.events import EARLIEST, milliseconds
from stream.sources.files.compressed import EmptyFile, OpenFile, UnreadableFile
from stream.sources.formats.columns import LATEST_MS, UNNAMED, Block, ColumnFile, Gauge
from stream.sources.options import Layout
from stream.sources.rejections import Rejections

SEPARATORS = ("\t", "::", ";", "|", ",")
"""The most frequent separator in the first line is used; with equal counts the first of this list."""

UNQUOTED = ("\t", "::")
"""With these separators a quote is an ordinary character when no cell in the first lines is quoted."""

RATING_COLUMNS = ("user", "item", "rating", "timestamp")
"""The columns of many published files without a header."""

MAX_RECORD_LINES = 100
MAX_COLUMNS = 10_000

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Line = tuple[int, str]
Record = tuple[int, list[str]]


_SAID = re.compile(r"sep=([,;|\t])", re.IGNORECASE)


class _OpenQuote(Exception):
    """A record needs more lines than allowed, or than the file has."""


class Delimited(ColumnFile):
    """An open file of delimited text."""

    unit = "line"

    def __init__(self, file: OpenFile, layout: Layout, rejections: Rejections) -> None:
        """Read the header. Raises `UnreadableFile` when there is none."""
        self._file = file
        self._encoding = layout.encoding
        self._rejections = rejections
        self._refused = 0
        self._lines = self._decoded()
        begin = file.peek()
        if b"\r" in begin and b"\n" not in begin:
            raise UnreadableFile("its lines end with CR alone, as on old Macs: convert them to LF")
        first = next((line for line in self._lines if line[1].strip()), None)
        if self._refused:  # the undecodable line may have been the header
            raise UnreadableFile(f"line 1 is no {self._encoding} text: name the encoding, or convert the file to UTF-8")
        if first is None:
            raise EmptyFile("an empty file")
        said = _SAID.fullmatch(first[1].strip("\r\n"))
        if said is not None:  # a line for spreadsheets, before the header
            first = next((line for line in self._lines if line[1].strip()), None)
            if first is None:
                raise EmptyFile("no row at all: the file says its separator alone")
        self._separator = layout.separator or (said[1] if said is not None else _separator(first[1]))
        quoted = self._separator not in UNQUOTED or _shows_quotes(begin, self._separator)
        self._quoted = quoted if layout.quoted is None else layout.quoted
        self.header = []
        self._pulled = 0
        self._waiting: deque[Line] = deque([first])
        names = layout.names
        self._header_lines = 0
        if names is None:
            number, cells = next(self._records(), (0, []))
            if self._refused or not cells:
                raise UnreadableFile("its first line is no header: a quote without an end, or a cell too long")
            if is_rating([cell.strip() for cell in cells]):
                names = RATING_COLUMNS
                self._waiting.appendleft((number, first[1]))
            else:
                self._header_lines = self._pulled
        if names is not None:
            cells = [f"{UNNAMED}{index}" if name in ("", UNNAMED) else name for index, name in enumerate(names)]
            if len(set(cells)) < len(cells):
                raise UnreadableFile(f"two columns of one name: {', '.join(cells)}")
        if len(cells) > MAX_COLUMNS:
            raise UnreadableFile(f"{len(cells):,} columns, over the bound of {MAX_COLUMNS:,}")
        self.header = [cell.strip() for cell in cells]

    @property
    def share(self) -> float:
        """How much of the file (0..1) is read."""
        return self._file.share

    def blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        """As `ColumnFile.blocks`."""
        columns = [self.header.index(name) for name in wanted]
        gauge = Gauge(self._file)
        records: list[Record] = []
        any_good = False
        try:
            for record in self._records():
                records.append(record)
                if gauge.full(len(records)):
                    rows, records = self._fitting(records, any_good), []
                    any_good = any_good or bool(rows)
                    yield self._block(rows, wanted, columns)
        except UnreadableFile:
            if rows := self._fitting(records, any_good):
                yield self._block(rows, wanted, columns)  # keep the rows before the damage
            raise
        rows = self._fitting(records, any_good)
        if rows:
            yield self._block(rows, wanted, columns)
        elif not any_good and self._refused:
            raise UnreadableFile("no line of it is a row")

    def _fitting(self, records: list[Record], any_good: bool) -> list[Record]:
        """Return the records that are not longer than the header, and reject the others."""
        width = len(self.header)
        rows = [record for record in records if len(record[1]) <= width]
        if records and not rows and not any_good:
            # Every row has cells beyond the header, which would be dropped.
            raise UnreadableFile(f"rows have more cells than the header has names ({width})")
        if len(rows) < len(records):
            for number, cells in records:
                if len(cells) > width:
                    self._refuse("too many cells", number, self._joined(cells))
        return rows

    def _block(self, records: list[Record], wanted: Sequence[str], columns: list[int]) -> Block:
        width = len(self.header)
        lines = np.array([number for number, _ in records], dtype=np.int64)
        rows = [cells for _, cells in records]
        for cells in rows:
            if len(cells) < width:
                cells.extend([""] * (width - len(cells)))
        table = pd.DataFrame(
            {
                name: pd.Series([cells[column] for cells in rows], dtype="string")
                for name, column in zip(wanted, columns, strict=True)
            }
        )
        return Block(table, lines - 1 - self._header_lines, lines, _Joined(rows, self._joined))

    def _decoded(self) -> Iterator[Line]:
        for number, raw in self._file.lines(self._refuse):
            line = raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw
            try:
                yield number, line.decode(self._encoding)
            except UnicodeDecodeError:
                self._refuse(f"no {self._encoding} text", number, raw.decode("utf-8", errors="backslashreplace"))

    def _records(self) -> Iterator[Record]:
        """Yield (first line, cells) of every record that is not empty."""
        while True:
            pulled: list[Line] = []
            try:
                for cells in csv.reader(self._feed(pulled), **self._dialect()):
                    if len(pulled) > 1 and self._is_swallowed([line for _, line in pulled]):
                        raise _OpenQuote
                    if cells:
                        yield pulled[0][0], cells
                    pulled.clear()
                return
            except _OpenQuote:
                reason = "a quote without an end"
            except csv.Error as error:
                reason = f"no record: {error}"
            self._refuse(reason, *pulled[0])
            self._waiting.extendleft(reversed(pulled[1:]))

    def _feed(self, pulled: list[Line]) -> Iterator[str]:
        """Yield lines to the csv module; `pulled` keeps the lines of the current record."""
        while entry := self._waiting.popleft() if self._waiting else next(self._lines, None):
            pulled.append(entry)
            self._pulled = entry[0]
            yield self._plain(entry[1])
            if len(pulled) >= MAX_RECORD_LINES:
                raise _OpenQuote
        if pulled:
            raise _OpenQuote

    def _is_swallowed(self, lines: Sequence[str]) -> bool:
        """Return whether a record of these lines contains rows after a stray quote.

        First case: all lines after the first are rows (the last line of a real multi-line cell has an unpaired quote).
        Second case: the last line has a stray quote, too. Then every line must have the cells of a row; a multi-line
        text has one or two separators by chance, but hardly three on each line.
        """
        width = len(self.header)
        if width < 2:
            return False
        if all(self._is_row(line, width) for line in lines[1:]):
            return True
        ends = (lines[0], lines[-1])
        return (
            width > 2
            and len(lines) > 2
            and all(line.count(self._separator) == width - 1 and line.count('"') == 1 for line in ends)
            and all(self._is_row(line, width) for line in lines[1:-1])
        )

    def _is_row(self, line: str, width: int) -> bool:
        """Return whether the line has `width` cells, each unquoted or completely quoted."""
        if '"' not in line:
            return line.count(self._separator) == width - 1
        mark = re.escape(self._dialect()["delimiter"])
        cell = f'(?:"[^"]*(?:""[^"]*)*"|[^"{mark}]*)'
        return re.fullmatch(f"{cell}(?:{mark}{cell}){{{width - 1}}}", self._plain(line).rstrip("\r\n")) is not None

    def _plain(self, line: str) -> str:
        """Replace a longer separator, because the csv module takes one character."""
        return line.replace(self._separator, "\t") if len(self._separator) > 1 else line

    def _dialect(self) -> dict[str, Any]:
        separator = "\t" if len(self._separator) > 1 else self._separator
        return {"delimiter": separator, "quoting": csv.QUOTE_MINIMAL if self._quoted else csv.QUOTE_NONE}

    def _joined(self, cells: list[str]) -> str:
        return self._separator.join(cells)

    def _refuse(self, reason: str, number: int, line: str) -> None:
        self._refused += 1
        self._rejections.add(self._file.path, self.unit, number, reason, line.rstrip("\r\n"))


class _Joined(Sequence[str]):
    """Rows as text, joined on access."""

    def __init__(self, rows: list[list[str]], join: Callable[[list[str]], str]) -> None:
        self._rows = rows
        self._join = join

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: Any) -> Any:
        return self._join(self._rows[row])


def _shows_quotes(begin: bytes, separator: str) -> bool:
    """Return whether a cell in the first lines begins and ends with a quote."""
    cells = (cell for line in begin.splitlines() for cell in line.split(separator.encode()))
    return any(len(cell) > 1 and cell.startswith(b'"') and cell.endswith(b'"') for cell in cells)


def _separator(line: str) -> str:
    bare = re.sub(r'"[^"]*"', "", line)
    return max(SEPARATORS, key=bare.count) if any(mark in bare for mark in SEPARATORS) else ","


def is_rating(cells: Sequence[str]) -> bool:
    """Return whether a first line is data: user, item, a number and a time after 1990 in seconds or milliseconds."""
    try:
        float(cells[2])
        time = float(cells[3])
    except (ValueError, IndexError):
        return False
    earliest = milliseconds(EARLIEST)
    return len(cells) == 4 and (earliest <= time <= LATEST_MS or earliest <= time * 1000 <= LATEST_MS)
