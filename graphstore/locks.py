"""File locks: one process at a time, on one machine.

A lock ends with the process that holds it, however the process died. The file stays: removing it would let two
processes lock two files of one name.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class FileLock:
    """`flock` on a file, tried without waiting."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Try once; True where this process holds the lock now."""
        if self._file is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def held(self) -> bool:
        """Whether this process holds the lock."""
        return self._file is not None

    def release(self) -> None:
        """Let go; does nothing where the lock is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on the file for the block; waits until it is free. The directory must exist."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
