"""Private files: what a process writes is for its own user alone, and so is the state directory.

The state directory holds events of shoppers, models and the addresses of services. Arrives: its path, at the start of
each command. Leaves: a file mode creation mask for all files of this process, and a closed directory. Next: whatever
writes files, libraries too.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
OTHERS = 0o077
"""The bits of the group and of everybody else."""
SHARED = stat.S_ISVTX | stat.S_IWOTH
"""The bits of a directory in which everybody writes, as /tmp."""

CONTENT = (
    "graph.db",
    "scheduler.",
    "services.json",
    "playground.",
    "broker",
    "redis",
    "models",
    "snapshots",
    "reports",
    "pictures",
    "tuning",
    "worker",
    "logs",
)
"""What the names begin with that Sagestream writes directly into the state directory."""


@contextmanager
def private_files() -> Iterator[None]:
    """Within the block every new directory has mode 0700 and every new file 0600, or less."""
    before = os.umask(OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def close_directory(directory: Path) -> str | None:
    """Take the group's and everybody else's rights from an existing state directory and from what is ours in it.

    Return a sentence about what was changed, or why it could not be; None where nothing had to be changed. A directory
    that is closed already is not searched, and one that holds only what others wrote is left as it is.
    """
    try:
        status = directory.stat()
        names = {path.name for path in directory.iterdir()}
    except OSError:  # whoever uses it tells this better
        return None
    mode, ours = stat.S_IMODE(status.st_mode), sorted(name for name in names if name.startswith(CONTENT))
    if not mode & OTHERS or (names and not ours):
        return None
    said = f"{directory} is open to others (mode {mode:04o})"
    if mode & SHARED:
        return f"{said} and shared with everybody: name a directory of its own in SAGESTREAM_STATE_DIR"
    if status.st_uid != os.geteuid():
        return f"{said}, and another user owns it: close it by `chmod -R go= {directory}`"
    try:
        inside = [path for name in ours for path in (directory / name, *(directory / name).rglob("*"))]
        count = sum(_close(path) for path in inside)
        directory.chmod(mode & ~OTHERS)
    except OSError as error:
        return f"{said}, and this process cannot close it: {error.strerror}"
    return f"{said}: closed it, and {count:,} files and directories in it"


def _close(path: Path) -> bool:
    """Return whether the mode had to be changed. A file that another process deletes meanwhile needs no change."""
    try:
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink() or not mode & OTHERS:
            return False
        path.chmod(mode & ~OTHERS)
    except FileNotFoundError:
        return False
    return True
