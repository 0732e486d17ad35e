"""Refusals: errors that a user can mend, told in one line without a traceback.

Each refusal of ours derives from `UserError`. Its message says what is wrong, where (file, address, setting), and what
to do. A fault of ours (a `KeyError`, a module that is not there) derives from something else and keeps its traceback.
`sagestream.error_messages` gives errors of libraries their sentence.
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)
"""A disk that is full, over its quota, or broken."""


class UserError(Exception):
    """What was asked for cannot be done; the message is written for whoever asked."""

    exit_code = 1
    """Of the command that ends with it: 1, or 2 where other words on the command line mend it."""


class MissingExtra(UserError):
    """A part that is installed when asked for is not installed; the message names the extra and the command."""


class AlreadyExists(UserError):
    """A file or directory would be written over."""


class UnusableFile(UserError):
    """A file that a user named cannot be opened, read or written."""


class PortTaken(UserError):
    """Another process listens on the port."""


def missing_extra(module: str, extra: str) -> MissingExtra:
    """The refusal for a `module` that the `extra` of this distribution brings."""
    return MissingExtra(f'{module} is not installed: pip install ".[{extra}]"')


@contextmanager
def file_errors(path: Path | str) -> Iterator[None]:
    """Around work on a file or directory that a user named: its `OSError` becomes `UnusableFile`.

    An error of another file, or of a socket, passes as it is.
    """
    try:
        yield
    except OSError as error:
        if not _concerns(error, Path(path)):
            raise
        raise UnusableFile(f"{error.filename or path}: {error.strerror}") from error


def _concerns(error: OSError, path: Path) -> bool:
    """Whether the error is of the path, of what stands beside or below it, or of a directory that leads to it."""
    if error.filename is None:  # of a write to an open file
        return error.errno in DISK_ERRORS
    failed, named = Path(str(error.filename)).absolute(), path.absolute()
    return failed.is_relative_to(named.parent) or named.is_relative_to(failed)


def reason(error: BaseException) -> str:
    """What an error says in its first line: without its class, and without the SQL statement that failed."""
    name = type(error).__name__
    said = str(getattr(error, "orig", None) or error).partition("\n")[0]
    # kafka-python puts the class before the words, and says nothing else where it has no words.
    said = re.sub(rf"^(?:\[Error -?\d+\] )?{name}(?:: |$)", "", said)
    return said or getattr(error, "description", None) or re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()
