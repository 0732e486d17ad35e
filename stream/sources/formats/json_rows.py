"""JSON rows: reads rows from one object a line, from a list of objects, or from one object with rows as members.

Arrives: an open file. Leaves: blocks of columns, one column for each key. Next: `stream.sources.formats.columns`
passes them to the readers.

One object holds either users with their items in order, `{"user": ["item", …]}`, or items with their attributes,
`{"item": {"title": …}}`. Published sequence data sets have this form. The object is read member by member. Some files
hold Python literals instead of JSON, for example the first Amazon metadata of 2014. `ast.literal_eval` reads these
lines within bounds. Rejected: `eval`, because it runs code.
"""

import ast
import codecs
import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from stream.sources.files.compressed import EmptyFile, OpenFile, UnreadableFile
from stream.sources.formats.columns import Block, ColumnFile, Gauge
from stream.sources.headers import KNOWN_HEADERS, plain_name
from stream.sources.rejections import Rejections

LINE, MEMBER = "line", "member"

MAX_KEYS = 256
KEY_ROWS = 1000
"""The columns are the keys of the first rows, up to this number, so odd rows cannot add columns without end."""

MAX_MEMBER_CHARACTERS = 16 * 1024 * 1024
MAX_LITERAL_BYTES = 256 * 1024
MAX_LITERAL_DEPTH = 32
"""Bounds for a Python literal, because its parser is made for programs: its memory grows with the depth."""

CHUNK_BYTES = 1 << 20
SPLIT_KEYS = ("columns", "index", "data")
"""The keys of a table that pandas wrote in pieces."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_KEYED = re.compile(rb'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*[\[{]')
_BETWEEN = " \t\r\n,"

Row = tuple[int, dict[str, Any]]
Refuse = Callable[[str, int, str], None]
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class NoRow(ValueError):
    """The data is not a row. The message is the reason."""


class JsonRows(ColumnFile):
    """Columns from rows that are JSON objects."""

    def __init__(self, file: OpenFile, rows: Iterator[Row], unit: str) -> None:
        """Read the first rows, which decide the columns. Raises `UnreadableFile` for a file without rows."""
        self.unit = unit
        self._file = file
        self._gauge = Gauge(file)
        begin: list[Row] = []
        failure: UnreadableFile | None = None
        try:
            for row in rows:
                begin.append(row)
                if len(begin) == KEY_ROWS or self._gauge.full(len(begin)):
                    break
        except UnreadableFile as error:
            failure = error
        if not begin:
            raise failure or UnreadableFile("no JSON object in it")
        keys: dict[str, None] = {}
        for _, found in begin:
            keys.update(dict.fromkeys(list(found)[: MAX_KEYS - len(keys)]))
        self.header = list(keys)
        self.sample = begin[0][1]
        """The first row, by which messages of the trade are recognised."""
        self._rows: Iterable[Row] = chain(begin, rows if failure is None else _failing(failure))

    @property
    def share(self) -> float:
        """The share of the file (0..1) that is read."""
        return self._file.share

    def rows(self) -> Iterator[Row]:
        """Yield the rows whole, each with its place. Only one of `rows` and `blocks` can be read."""
        yield from self._rows

    def blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        """See `ColumnFile.blocks`."""
        first = 0
        rows: list[dict[str, Any]] = []
        places: list[int] = []
        try:
            for place, row in self._rows:
                rows.append({key: row[key] for key in wanted if key in row})  # other keys would only take memory
                places.append(place)
                if self._gauge.full(len(rows)):
                    yield _block(rows, places, wanted, first, self.unit)
                    first, rows, places = first + len(rows), [], []
        except UnreadableFile:
            if rows:
                yield _block(rows, places, wanted, first, self.unit)
            raise
        if rows:
            yield _block(rows, places, wanted, first, self.unit)


def _failing(failure: UnreadableFile) -> Iterator[Row]:
    raise failure
    yield


def _block(rows: list[dict[str, Any]], places: list[int], wanted: Sequence[str], first: int, unit: str) -> Block:
    table = pd.DataFrame({key: _column([row.get(key) for row in rows]) for key in wanted})
    where = np.array(places, dtype=np.int64)
    # One member may give several rows.
    numbers = where - 1 if unit == LINE else np.arange(first, first + len(rows), dtype=np.int64)
    return Block(table, numbers, where, rows)


def _column(values: list[Any]) -> "pd.Series[Any]":
    if any(isinstance(value, list | dict) for value in values):
        return pd.Series(values, dtype="object")
    return pd.Series(["" if value is None else str(value) for value in values], dtype="string")


def open_json(file: OpenFile, rejections: Rejections) -> JsonRows:
    """Open the rows of a file in any of the three forms. Raises `UnreadableFile`."""

    def refuse(reason: str, place: int, row: str) -> None:
        rejections.add(file.path, unit, place, reason, row.rstrip("\r\n"))

    unit = LINE
    begins = file.peek()
    start = begins.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if start.rstrip() in (b"", b"[]"):
        raise EmptyFile("an empty file")
    if start.startswith(b"[") or (_KEYED.match(start) and not _is_row(begins)):
        unit = MEMBER
        rows = _member_rows(_members(file), refuse)
    else:
        rows = _line_rows(file, refuse, literals=_is_literal(start.split(b"\n", 1)[0]))
    return JsonRows(file, rows, unit)


def _is_row(begins: bytes) -> bool:
    """Return whether the first line is a whole object, and either more lines follow or it holds a plain value."""
    line, end, rest = begins.removeprefix(_BYTE_ORDER_MARK).lstrip().partition(b"\n")
    try:
        row = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return bool(end and rest.strip()) or not all(isinstance(value, list | dict) for value in row.values())


def _is_literal(line: bytes) -> bool:
    try:
        _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            literal(line)
        except NoRow:
            return False
        return True
    return False


def _line_rows(file: OpenFile, refuse: Refuse, *, literals: bool) -> Iterator[Row]:
    for number, raw in file.lines(refuse):
        line = (raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw).strip()
        if not line:
            continue
        try:
            yield number, _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            try:
                if not literals:
                    raise NoRow("no JSON object")
                yield number, literal(line)
            except NoRow as error:
                refuse(str(error), number, line.decode("utf-8", errors="backslashreplace"))


def literal(line: bytes) -> dict[str, Any]:
    """Return the object of a Python literal line, converted to JSON types. Raises `NoRow`."""
    if len(line) > MAX_LITERAL_BYTES:
        raise NoRow("a literal too long")
    depth = deepest = 0
    for mark in re.findall(rb"[\[\](){}]", line):  # brackets in texts count too, which only makes the bound tighter
        depth += 1 if mark in b"[({" else -1
        deepest = max(deepest, abs(depth))
    if deepest > MAX_LITERAL_DEPTH:
        raise NoRow("a literal too deep")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about unknown escapes
            found = ast.literal_eval(line.decode("utf-8"))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise NoRow("neither JSON nor a literal") from error
    return _as_json(found)


def _as_json(found: Any) -> dict[str, Any]:
    """Convert another parser's value through JSON, so that only values of JSON lines remain."""
    try:
        return _decode(msgspec.json.encode(found))
    except (msgspec.MsgspecError, UnicodeError, TypeError, OverflowError, RecursionError) as error:
        raise NoRow("no JSON object") from error


def _member_rows(members: Iterator[tuple[int, str | None, Any]], refuse: Refuse) -> Iterator[Row]:
    """Yield the rows. A list of objects that name their users is a table under a name, as `{"orders": [...]}`."""
    for number, key, value in members:
        if key in SPLIT_KEYS and isinstance(value, list) and number <= len(SPLIT_KEYS):
            raise UnreadableFile("a table in pieces (pandas, orient=split): write it with orient=records, or as CSV")
        try:
            if key is None:
                yield number, _as_json(value)
            elif isinstance(value, dict):
                yield number, {"item": key, **_as_json(value)}
            elif isinstance(value, list):
                owner = {} if _names_users(value) else {"user": key}
                for item in value:
                    yield number, _as_json(owner | (item if isinstance(item, dict) else {"item": item}))
            else:
                raise NoRow("no list of items and no object")
        except NoRow as error:
            refuse(str(error), number, f"{key}: {value}")


def _names_users(rows: list[Any]) -> bool:
    """Return whether an object in the list has a key that is known to name a user."""
    names = {plain_name(str(key)) for row in rows[:KEY_ROWS] if isinstance(row, dict) for key in row}
    return not names.isdisjoint(KNOWN_HEADERS["user"])


def _members(file: OpenFile) -> Iterator[tuple[int, str | None, Any]]:
    """Yield (number, key, value) for each member of the file's object or list. A list has None as the key."""
    window = _TextWindow(file)
    keyed = window.take("{[") == "{"
    number = 0
    while window.next() not in ("}" if keyed else "]"):
        number += 1
        key = None
        if keyed:
            key = window.value(number)
            if not isinstance(key, str) or window.next() != ":":
                raise UnreadableFile(f"no JSON in member {number}")
            window.take(":")
        yield number, key, window.value(number)


class _TextWindow:
    """The part of a JSON text in memory. It grows only until one member fits."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._parse = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._ended = False

    def next(self) -> str:
        """Return the next character after spaces and commas, and do not consume it.

        Raises `UnreadableFile` at the end of the file.
        """
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BETWEEN:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise UnreadableFile("it ends in the middle of the JSON")

    def take(self, expected: str) -> str:
        """Consume and return the next character, which must be in `expected`. Raises `UnreadableFile`."""
        found = self.next()
        if found not in expected:
            raise UnreadableFile(f"no JSON: {found!r} in the place of {expected!r}")
        self._at += 1
        return found

    def value(self, number: int) -> Any:
        """Parse and return the next value. Raises `UnreadableFile`."""
        self.next()
        while True:
            try:
                value, end = self._parse(self._text, self._at)
                # A number at the end of the window may continue after it.
                if end < len(self._text) or not self._more():
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                if not self._more():
                    raise UnreadableFile(f"no JSON in member {number}: {error.msg}") from error
            except (RecursionError, ValueError) as error:  # ValueError: too many digits in a number
                raise UnreadableFile(f"member {number} is nested too deep, or holds too long a number") from error

    def _more(self) -> bool:
        """Read the next chunk. Return False at the end of the file."""
        if self._ended:
            return False
        if len(self._text) - self._at > MAX_MEMBER_CHARACTERS:
            raise UnreadableFile(f"a member of more than {MAX_MEMBER_CHARACTERS:,} characters")
        data = self._file.read(CHUNK_BYTES)
        self._ended = not data
        try:
            self._text = self._text[self._at :] + self._decode.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise UnreadableFile(f"no utf-8 text: {error.reason} before byte {self._file.bytes_read:,}") from error
        self._at = 0
        return not self._ended
