"""Event lines: reads JSON lines, one interaction each, from a file, a gzip file or standard input.

Arrives: a file name, or `-`. Leaves: interactions. An invalid line is reported with its number and reason. Next:
`stream.replay` sends the interactions.

A line has the same contract as a message (`events.decode`). Memory is bounded: the rest of a too long line is skipped.
"""

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

from graphstore.errors import UserError, file_errors
from stream import events
from stream.events import Interaction
from stream.sources.admission import admitted

STANDARD_INPUT = "-"

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST = events.MAX_EVENT_BYTES + 2
"""The bytes kept of a line. A longer line is already over the bound of an event."""

Refuse = Callable[[int, str], None]
"""Called with the line number (from 1) and the reason why the line is not an event."""


class UnreadableLines(UserError):
    """The file cannot be read to its end. The message names the last good line."""


@dataclass
class Lines:
    """An open file of lines. `raw` gives the stored bytes, before decompression."""

    raw: BufferedReader

    @property
    def share(self) -> float:
        """The share of the file (0..1) that is read, or 0 when its size is unknown."""
        size = os.fstat(self.raw.fileno()).st_size if self.raw.seekable() else 0
        return self.raw.tell() / size if size else 0.0

    def __iter__(self) -> Iterator[bytes]:
        """Yield the lines, each cut just above the bound of an event. A gzip file is decompressed.

        Raises `UnreadableLines` when compressed bytes are damaged or cut off.
        """
        packed = self.raw.peek(len(_GZIP))[: len(_GZIP)] == _GZIP
        stream = cast("IO[bytes]", gzip.GzipFile(fileobj=self.raw)) if packed else self.raw
        number = 0
        try:
            while line := stream.readline(_LONGEST):
                number += 1
                rest = line
                while _is_cut(rest):
                    rest = stream.readline(_LONGEST)
                yield line
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UnreadableLines(f"damaged after line {number}: {error}") from error


def _is_cut(line: bytes) -> bool:
    return len(line) == _LONGEST and not line.endswith(b"\n")


@contextmanager
def open_lines(name: str) -> Iterator[Lines]:
    """Open the file, or standard input for `-`. Raises `graphstore.errors.UnusableFile`."""
    if name == STANDARD_INPUT:  # this function does not close standard input
        yield Lines(cast("BufferedReader", sys.stdin.buffer))
        return
    with file_errors(name):
        raw = Path(name).open("rb")  # noqa: SIM115 - closed below
    with raw:
        yield Lines(raw)


def interactions(lines: Iterable[bytes], *, now: Callable[[], datetime], refuse: Refuse) -> Iterator[Interaction]:
    """Yield the events of the lines. Empty lines are skipped, and `refuse` is called for invalid ones."""
    for number, text in texts(lines, refuse=refuse):
        try:
            yield admitted(events.decode(text, Interaction, now=now()))
        except events.InvalidEvent as error:
            refuse(number, str(error))


def texts(lines: Iterable[bytes], *, refuse: Refuse) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not empty with its number, without its end. `refuse` is called for too long lines."""
    for number, line in enumerate(lines, start=1):
        text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        if not text.strip():
            continue
        if _is_cut(line):
            refuse(number, f"over the bound of {events.MAX_EVENT_BYTES} bytes")
            continue
        yield number, text.rstrip(b"\r\n")
