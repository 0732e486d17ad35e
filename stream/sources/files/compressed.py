"""Compressed files: reads plain and compressed files line by line, and reports the share that is read.

Arrives: a path. Leaves: lines of bounded length with their numbers, or `UnreadableFile` with the last good line of a
damaged file. Next: `stream.sources.formats.columns` makes columns from the lines.
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
"""Hexadecimal digits of a file's content hash. The ids of its events begin with them."""

_GZIP = b"\x1f\x8b"
PEEKED_BYTES = 1 << 16
_BUFFER_BYTES = PEEKED_BYTES
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)

_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook: unpack it, or save its sheets as CSV",
    b"\xff\xfe": "UTF-16: convert it to UTF-8 first",
    b"\xfe\xff": "UTF-16: convert it to UTF-8 first",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (xls): save its sheets as CSV",
    b"\x28\xb5\x2f\xfd": "packed by Zstandard: unpack it first (zstd -d)",
}
"""First bytes of formats that no reader supports, with advice for the user."""

Refuse = Callable[[str, int, str], None]
"""Called with the reason, the row number (from 1) and the text of an invalid row."""


class UnreadableFile(UserError):
    """The file cannot be read as a table, or not to its end. The message states the reason."""


class NotUnderstood(UnreadableFile):
    """What decides the meaning of the file is not known. The message names the option that tells it."""

    exit_code = 2


class EmptyFile(NotUnderstood):
    """The file has no row at all: a program that exports it has failed, or the wrong file is named."""


class _Unpacked(io.RawIOBase):
    """Decompressed bytes. All bytes before damaged data are returned, for every buffer size.

    Rejected: a buffer directly over the library's file. It requests many bytes at once, and the error then loses the
    good bytes before the damage.
    """

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = cast("io.BufferedIOBase", packed)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """See `io.RawIOBase`."""
        data = self._packed.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class OpenFile:
    """An open file. `bytes_read` counts the decompressed bytes."""

    def __init__(self, path: Path, raw: IO[bytes], stream: io.BufferedReader) -> None:
        self.path = path
        self.bytes_read = 0
        self._raw = raw
        self._stream = stream
        self._size = path.stat().st_size

    @property
    def share(self) -> float:
        """The share of the file (0..1) that is read."""
        return min(self._raw.tell() / self._size, 1.0) if self._size else 1.0

    def lines(self, refuse: Refuse) -> Iterator[tuple[int, bytes]]:
        """Yield (number, line), with the line end. A line over `MAX_LINE_BYTES` is refused and not kept in memory.

        Raises `UnreadableFile` when compressed bytes are damaged or cut off, after every whole line before the damage.
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
        """Return some of the first bytes without consuming them. Raises `UnreadableFile`."""
        try:
            return self._stream.peek(PEEKED_BYTES)
        except _DAMAGE as error:
            raise UnreadableFile(f"damaged from its beginning: {error}") from error

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`, or no bytes at the end. Raises `UnreadableFile`."""
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
    """Open the file and decompress gzip (by its first bytes), bz2 and xz (by suffix). Raises `UnreadableFile`."""
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
            file = OpenFile(path, raw, io.BufferedReader(_Unpacked(packed), _BUFFER_BYTES))
            if file.peek().startswith(_GZIP):
                raise UnreadableFile("gzip in gzip: unpack it once (gunzip)")
            yield file


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Add the path, once, to the message of an `UnreadableFile` from inside."""
    try:
        yield
    except UnreadableFile as error:
        text = str(error)
        if text.startswith(f"{path}: "):
            raise
        raise type(error)(f"{path}: {text}") from error


def format_suffix(path: Path) -> str:
    """Return the format's suffix in lower case, without the suffix of the compression."""
    return next((end for end in reversed(path.suffixes) if end.lower() not in COMPRESSED_SUFFIXES), "").lower()


def content_mark(path: Path, *, stop: Callable[[], bool] = lambda: False) -> str | None:
    """Return the first digits of the content's SHA-256, for event ids, or None when `stop` returns True.

    The same row of an unchanged file is the same event, also in a second import and under another file name. A changed
    file has another mark, even with only one new row at its end. Then all its rows are new events.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(HASHED_BYTES):
            digest.update(data)
            if stop():
                return None
    return digest.hexdigest()[:MARK_DIGITS]


def changed_at(*paths: Path) -> datetime:
    """Return when the newest file was written, at most now. It is the time of the item data in these files."""
    newest = max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)
    return datetime.fromtimestamp(max(min(newest, time.time()), 0.0), UTC)


def listed(names: Iterable[str]) -> str:
    """Return the names for a message, at most `MAX_LISTED` of them."""
    shown = list(names)
    return ", ".join(shown[:MAX_LISTED]) + (f" and {len(shown) - MAX_LISTED} more" if len(shown) > MAX_LISTED else "")
