"""Files that are written whole or not at all, their checksums, and JSON files of others that are read within bounds."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graphstore.errors import UserError, file_errors


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, for a file or a directory; it gets the name `path` when the block ends.

    Readers see the old file or the new one, never a part. After an error, or a kill in the middle, `path` is as it was;
    an error removes the temporary path, a kill leaves it behind as `.<name>.<process id>`. An older file is replaced.
    Raises `OSError` where `path` is a directory that holds something.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    _remove(temporary)  # of a killed process that had the same number
    try:
        yield temporary
        temporary.replace(path)
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path, *, max_bytes: int, error: type[UserError]) -> Any:
    """What a file that a user named says. Raises `error` for a larger file and for text that is not JSON, and
    `graphstore.errors.UnusableFile` where it cannot be read."""
    with file_errors(path), path.open("rb") as file:
        raw = file.read(max_bytes + 1)
    if len(raw) > max_bytes:
        raise error(f"{path} is larger than {max_bytes:,} bytes")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as reason:  # UnicodeDecodeError is a ValueError
        raise error(f"{path} is no JSON: {reason}") from reason
