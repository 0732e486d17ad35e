"""JSON lines: one interaction a line, from a file, a compressed file or standard input.

Arrives: a file's name, or `-`. Leaves: interactions; every line that is none is told with its number and reason. Next:
`stream.replay` sends them on.

A line is held to the same contract as a message (`events.decode`), and one that never ends is not read into memory.
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

STANDARD_INPUT = "-"

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST = events.MAX_EVENT_BYTES + 2
"""Of a longer line no more is kept: it is over the bound of an event, whatever follows."""

Refuse = Callable[[int, str], None]
"""Called with the number of a line, from 1, and why it is no event."""


class UnreadableLines(UserError):
    """The file cannot be read to its end; the message says from which line on."""


@dataclass
class Lines:
    """An open file of lines; `raw` are its bytes as they lie there."""

    raw: BufferedReader

    @property
    def share(self) -> float:
        """How much of the file (0..1) is read; 0 where nobody knows its size."""
        size = os.fstat(self.raw.fileno()).st_size if self.raw.seekable() else 0
        return self.raw.tell() / size if size else 0.0

    def __iter__(self) -> Iterator[bytes]:
        """The lines, of each no more than just over the bound of an event; unpacked where they begin as gzip does.

        Raises `UnreadableLines` where compressed bytes are damaged or cut off.
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
    """The file of that name, or standard input for `-`. Raises `graphstore.errors.UnusableFile`."""
    if name == STANDARD_INPUT:  # not ours to close
        yield Lines(cast("BufferedReader", sys.stdin.buffer))
        return
    with file_errors(name):
        raw = Path(name).open("rb")  # noqa: SIM115 - closed below
    with raw:
        yield Lines(raw)


def interactions(lines: Iterable[bytes], *, now: Callable[[], datetime], refuse: Refuse) -> Iterator[Interaction]:
    """The events among the lines; empty lines are passed over."""
    for number, line in enumerate(lines, start=1):
        text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        if not text.strip():
            continue
        if _is_cut(line):
            refuse(number, f"over the bound of {events.MAX_EVENT_BYTES} bytes")
            continue
        try:
            yield events.decode(text.rstrip(b"\r\n"), Interaction, now=now())
        except events.InvalidEvent as error:
            refuse(number, str(error))
