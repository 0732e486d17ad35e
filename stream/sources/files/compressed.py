"""Files as bytes: as they lie there or compressed, line by line, with the share of them that is read.

Arrives: a path. Leaves: lines of bounded length with their numbers, or `UnreadableFile` with the line after which the
file is damaged. Next: `stream.sources.formats.columns` makes columns of the lines.
"""

import bz2
import gzip
import hashlib
import io
import lzma
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

from graphstore.errors import UserError

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_LISTED = 20
COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz")

HASHED_BYTES = 1 << 20
MARK_DIGITS = 12
"""Hexadecimal digits of a file's content that begin the ids of its events."""

_GZIP = b"\x1f\x8b"
PEEKED_BYTES = 1 << 16
_BUFFER_BYTES = PEEKED_BYTES
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)

_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook: unpack it, or save its sheets as CSV",
    b"\xff\xfe": "UTF-16: convert it to UTF-8 first",
    b"\xfe\xff": "UTF-16: convert it to UTF-8 first",
}
"""What a file may begin with that no reader here takes, and what to do with it."""

Refuse = Callable[[str, int, str], None]
"""Called with the reason, the place (from 1) and the text of what is no row."""


class UnreadableFile(UserError):
    """The file cannot be read as a table, or not on from some line; the message says why."""


class _Unpacked(io.RawIOBase):
    """Compressed bytes as they unpack: what comes before a damage is given out, whatever the size of the buffer.

    A buffer straight over the library's file would ask it for many bytes at once, and lose those before the damage.
    """

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = cast("io.BufferedIOBase", packed)

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """As `io.RawIOBase`."""
        data = self._packed.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class OpenFile:
    """An open file; `bytes_read` counts what came out of it, unpacked."""

    def __init__(self, path: Path, raw: IO[bytes], stream: io.BufferedReader) -> None:
        self.path = path
        self.bytes_read = 0
        self._raw = raw
        self._stream = stream
        self._size = path.stat().st_size

    @property
    def share(self) -> float:
        """How much of the file (0..1) is read."""
        return min(self._raw.tell() / self._size, 1.0) if self._size else 1.0

    def lines(self, refuse: Refuse) -> Iterator[tuple[int, bytes]]:
        """(number, line) with its end; a line over `MAX_LINE_BYTES` is refused and never held.

        Raises `UnreadableFile` where compressed bytes are damaged or cut off; every whole line before that was given.
        """
        number = 0
        try:
            while line := self._stream.readline(MAX_LINE_BYTES):
                number += 1
                self.bytes_read += len(line)
                if not _is_cut(line):
                    yield number, line
                    continue
                refuse("line too long", number, line[:_BUFFER_BYTES].decode("utf-8", errors="replace"))
                rest = line
                while _is_cut(rest):
                    rest = self._stream.readline(MAX_LINE_BYTES)
        except _DAMAGE as error:
            raise UnreadableFile(f"damaged after line {number}: {error}") from error

    def peek(self) -> bytes:
        """Some of the first bytes, which stay to be read; raises `UnreadableFile`."""
        try:
            return self._stream.peek(PEEKED_BYTES)
        except _DAMAGE as error:
            raise UnreadableFile(f"damaged from its beginning: {error}") from error

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`, none at the end; raises `UnreadableFile`."""
        try:
            data = self._stream.read1(size)
        except _DAMAGE as error:
            raise UnreadableFile(f"damaged after byte {self.bytes_read:,} of its content: {error}") from error
        self.bytes_read += len(data)
        return data


def _is_cut(line: bytes) -> bool:
    return len(line) == MAX_LINE_BYTES and not line.endswith(b"\n")


@contextmanager
def opened(path: Path) -> Iterator[OpenFile]:
    """The file, unpacked where it begins as gzip does or is named as bz2 or xz. Raises `UnreadableFile`."""
    if not path.is_file():
        raise UnreadableFile("no file" if not path.exists() else "no regular file")
    try:
        raw = path.open("rb", buffering=_BUFFER_BYTES)
    except OSError as error:
        raise UnreadableFile(error.strerror or str(error)) from error
    with raw:
        begins = raw.read(4)
        raw.seek(0)
        for mark, what in _FOREIGN.items():
            if begins.startswith(mark):
                raise UnreadableFile(what)
        packed: IO[bytes] | None = None
        if begins.startswith(_GZIP):
            packed = cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
        elif path.suffix in (".bz2", ".xz"):
            packed = cast("IO[bytes]", (bz2.open if path.suffix == ".bz2" else lzma.open)(raw))
        if packed is None:
            yield OpenFile(path, raw, cast("io.BufferedReader", raw))
        else:
            yield OpenFile(path, raw, io.BufferedReader(_Unpacked(packed), _BUFFER_BYTES))


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Whatever is unreadable inside is told with the path before it, once."""
    try:
        yield
    except UnreadableFile as error:
        text = str(error)
        if text.startswith(f"{path}: "):
            raise
        raise UnreadableFile(f"{path}: {text}") from error


def format_suffix(path: Path) -> str:
    """The suffix that tells the format, in lower case: that of compression left out."""
    return next((end for end in reversed(path.suffixes) if end.lower() not in COMPRESSED_SUFFIXES), "").lower()


def content_mark(path: Path, *, stop: Callable[[], bool] = lambda: False) -> str | None:
    """The first digits of the SHA-256 of the content, for the ids of events; None once `stop` says so.

    The same row of an unchanged file is the same event, however often and under whatever name the file is imported. A
    file that has changed, be it by one more row at its end, has another mark: all its rows are other events.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(HASHED_BYTES):
            digest.update(data)
            if stop():
                return None
    return digest.hexdigest()[:MARK_DIGITS]


def changed_at(*paths: Path) -> datetime:
    """When the newest of the files was written, and never a time to come: what they say of items counts from then."""
    newest = max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)
    return datetime.fromtimestamp(max(min(newest, time.time()), 0.0), UTC)


def listed(names: Iterable[str]) -> str:
    """The names for a message, not all where there are many."""
    shown = list(names)
    return ", ".join(shown[:MAX_LISTED]) + (f" and {len(shown) - MAX_LISTED} more" if len(shown) > MAX_LISTED else "")
