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
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

from graphstore.errors import UserError

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_LISTED = 20
COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")

HASHED_BYTES = 1 << 20
MARK_DIGITS = 12
"""Hexadecimal digits of a file's content hash. The ids of its events begin with them."""

_GZIP = b"\x1f\x8b"
PEEKED_BYTES = 1 << 16
_BUFFER_BYTES = PEEKED_BYTES
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
ZIP = b"PK\x03\x04"
OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"
"""The first bytes of a workbook as Excel wrote it before 2007."""
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)

_FOREIGN = {
    OLD_WORKBOOK: "an old Excel workbook (xls): save its sheets as CSV",
    b"PK\x05\x06": "an empty zip archive",
    b"\xff\xfe": "UTF-16: convert it to UTF-8 first",
    b"\xfe\xff": "UTF-16: convert it to UTF-8 first",
}
"""First bytes of formats that no reader supports, with advice for the user."""
WORKBOOK_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".ods", ".xls")
_PACKED = {
    _GZIP: "gzip",
    _ZSTANDARD: "Zstandard",
    ZIP: "a zip archive or a workbook",
    OLD_WORKBOOK: "a workbook",
}
_MACS_OWN = "__MACOSX/"

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

    def __init__(
        self, path: Path, raw: IO[bytes], stream: io.BufferedReader, *, packed: bool = False, name: str = ""
    ) -> None:
        self.path = path
        self.name = Path(name) if name else path
        """The file's name, or that of the member of an archive; its suffix tells the format."""
        self.packed = packed
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
    """Open the file and decompress gzip, Zstandard and zip (by first bytes), bz2 and xz (by suffix).

    Raises `UnreadableFile`.
    """
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
        name = ""
        packed: IO[bytes] | None = None
        if begins.startswith(_GZIP):
            packed = cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
        elif begins == _ZSTANDARD:
            packed = _zstandard(raw)
        elif begins == ZIP:
            name, packed = _only_member(raw)
        elif path.suffix in (".bz2", ".xz"):
            packed = cast("IO[bytes]", (bz2.open if path.suffix == ".bz2" else lzma.open)(raw))
        if packed is None:
            yield OpenFile(path, raw, cast("io.BufferedReader", raw))
        else:
            file = OpenFile(path, raw, io.BufferedReader(_Unpacked(packed), _BUFFER_BYTES), packed=True, name=name)
            inside = file.peek()
            for mark, what in _PACKED.items():
                if inside.startswith(mark):
                    outer = next((outer for first, outer in _PACKED.items() if begins.startswith(first)), path.suffix)
                    raise UnreadableFile(f"{what} in {outer}: unpack it once, by gunzip, unzip or zstd -d")
            yield file


def _zstandard(raw: IO[bytes]) -> IO[bytes]:
    import pyarrow as pa  # what Parquet is read with unpacks Zstandard, too

    return cast("IO[bytes]", pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"))


def _only_member(raw: IO[bytes]) -> tuple[str, IO[bytes]]:
    """Return the name and the content of the one file in a zip archive."""
    try:
        archive = zipfile.ZipFile(raw)
        members = [
            entry for entry in archive.infolist() if not (entry.is_dir() or entry.filename.startswith(_MACS_OWN))
        ]
        if len(members) != 1:
            names = listed(entry.filename for entry in members)
            raise UnreadableFile(f"a zip archive of {len(members)} files: unpack it, and name them ({names})")
        return members[0].filename, archive.open(members[0])
    except (*_DAMAGE, NotImplementedError) as error:
        raise UnreadableFile(f"a zip archive that cannot be read: {error}") from error
    except RuntimeError as error:  # the standard library's word for a password
        raise UnreadableFile(f"a zip archive with a password: unpack it first ({error})") from error


def is_workbook(path: Path) -> bool:
    """Return whether the file is a workbook of a spreadsheet, by its content."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        begins = file.read(4)
        if begins != ZIP:
            return begins == OLD_WORKBOOK
        try:
            names = zipfile.ZipFile(file).namelist()
        except (*_DAMAGE, NotImplementedError):
            return path.suffix.lower() in WORKBOOK_SUFFIXES
    return "[Content_Types].xml" in names or names[:1] == ["mimetype"]


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
