"""Cells between separators: CSV, TSV, `::` and `|`, with or without a header, quoted or not.

Arrives: an open file. Leaves: blocks of text columns. Next: `stream.sources.formats.columns` hands them on.

Python's csv module and not pandas: it says on which line a record stands, and one bad record does not end the file. A
quote that never closes would swallow all that follows: such a record ends after `MAX_RECORD_LINES`, its first line is
refused, and the others are read again by themselves. So it is where a stray quote closes at another one, and the lines
between them are rows by themselves. Between tabs and `::` a quote is a letter, unless a cell of the first lines is
quoted.
"""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stream.events import EARLIEST, milliseconds
from stream.sources.files.compressed import OpenFile, UnreadableFile
from stream.sources.formats.columns import LATEST_MS, UNNAMED, Block, ColumnFile, Gauge
from stream.sources.options import Layout
from stream.sources.rejections import Rejections

SEPARATORS = ("\t", "::", ";", "|", ",")
"""Of those that the first line holds the most frequent one is taken, of equals the first."""

UNQUOTED = ("\t", "::")
"""Between these a quote is a letter like others, where no cell of the first lines is quoted."""

RATING_COLUMNS = ("user", "item", "rating", "timestamp")
"""What many published files hold without saying so in a header."""

MAX_RECORD_LINES = 100
MAX_COLUMNS = 10_000

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Line = tuple[int, str]
Record = tuple[int, list[str]]


class _OpenQuote(Exception):
    """The csv module wants more lines than a record may have, or than there are."""


class Delimited(ColumnFile):
    """An open file of cells."""

    unit = "line"

    def __init__(self, file: OpenFile, layout: Layout, rejections: Rejections) -> None:
        """Reads the header. Raises `UnreadableFile` where there is none."""
        self._file = file
        self._encoding = layout.encoding
        self._rejections = rejections
        self._refused = 0
        self._lines = self._decoded()
        begin = file.peek()
        first = next(self._lines, None)
        if self._refused:  # what is not text may have been the header
            raise UnreadableFile(f"line 1 is no {self._encoding} text: name the encoding, or convert the file to UTF-8")
        if first is None:
            raise UnreadableFile("an empty file")
        self._separator = layout.separator or _separator(first[1])
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
            cells = [f"{UNNAMED}{place}" if name in ("", UNNAMED) else name for place, name in enumerate(names)]
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
        places = [self.header.index(name) for name in wanted]
        gauge = Gauge(self._file)
        records: list[Record] = []
        any_good = False
        try:
            for record in self._records():
                records.append(record)
                if gauge.full(len(records)):
                    rows, records = self._fitting(records, any_good), []
                    any_good = any_good or bool(rows)
                    yield self._block(rows, wanted, places)
        except UnreadableFile:
            if rows := self._fitting(records, any_good):
                yield self._block(rows, wanted, places)  # what was read before the damage stays
            raise
        rows = self._fitting(records, any_good)
        if rows:
            yield self._block(rows, wanted, places)
        elif not any_good and self._refused:
            raise UnreadableFile("no line of it is a row")

    def _fitting(self, records: list[Record], any_good: bool) -> list[Record]:
        """Those that are no longer than the header."""
        width = len(self.header)
        rows = [record for record in records if len(record[1]) <= width]
        if records and not rows and not any_good:
            # The cells beyond the header would be dropped, of every row.
            raise UnreadableFile(f"rows have more cells than the header has names ({width})")
        if len(rows) < len(records):
            for number, cells in records:
                if len(cells) > width:
                    self._refuse("too many cells", number, self._joined(cells))
        return rows

    def _block(self, records: list[Record], wanted: Sequence[str], places: list[int]) -> Block:
        width = len(self.header)
        lines = np.array([number for number, _ in records], dtype=np.int64)
        rows = [cells for _, cells in records]
        for cells in rows:
            if len(cells) < width:
                cells.extend([""] * (width - len(cells)))
        table = pd.DataFrame(
            {
                name: pd.Series([cells[place] for cells in rows], dtype="string")
                for name, place in zip(wanted, places, strict=True)
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
        """(line on which it begins, cells) of every record that is not empty."""
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
        """The lines for the csv module; it keeps those of the record in hand in `pulled`."""
        while entry := self._waiting.popleft() if self._waiting else next(self._lines, None):
            pulled.append(entry)
            self._pulled = entry[0]
            yield self._plain(entry[1])
            if len(pulled) >= MAX_RECORD_LINES:
                raise _OpenQuote
        if pulled:
            raise _OpenQuote

    def _is_swallowed(self, lines: Sequence[str]) -> bool:
        """Whether a record of these lines holds rows behind a stray quote.

        The lines after the first are rows by themselves: a cell over several lines ends with a quote that has no
        partner on its line. Or the last closes by a stray quote of its own; then all lines must have the cells of a
        row, of which a text over several lines has one or two by chance, but hardly three on each.
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
        """Whether it has so many cells, each without quotes or quoted as a whole."""
        if '"' not in line:
            return line.count(self._separator) == width - 1
        mark = re.escape(self._dialect()["delimiter"])
        cell = f'(?:"[^"]*(?:""[^"]*)*"|[^"{mark}]*)'
        return re.fullmatch(f"{cell}(?:{mark}{cell}){{{width - 1}}}", self._plain(line).rstrip("\r\n")) is not None

    def _plain(self, line: str) -> str:
        """The csv module takes separators of one character."""
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
    """Rows as text, joined when somebody asks."""

    def __init__(self, rows: list[list[str]], join: Callable[[list[str]], str]) -> None:
        self._rows = rows
        self._join = join

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: Any) -> Any:
        return self._join(self._rows[row])


def _shows_quotes(begin: bytes, separator: str) -> bool:
    """Whether a cell of the first lines begins and ends with a quote."""
    cells = (cell for line in begin.splitlines() for cell in line.split(separator.encode()))
    return any(len(cell) > 1 and cell.startswith(b'"') and cell.endswith(b'"') for cell in cells)


def _separator(line: str) -> str:
    bare = re.sub(r'"[^"]*"', "", line)
    return max(SEPARATORS, key=bare.count) if any(mark in bare for mark in SEPARATORS) else ","


def is_rating(cells: Sequence[str]) -> bool:
    """Whether a first line is data: somebody, something, a number and a time since 1990 in seconds or milliseconds."""
    try:
        float(cells[2])
        time = float(cells[3])
    except (ValueError, IndexError):
        return False
    earliest = milliseconds(EARLIEST)
    return len(cells) == 4 and (earliest <= time <= LATEST_MS or earliest <= time * 1000 <= LATEST_MS)
