"""Shared files: directories that a caller and its workers must see alike.

Arrives: the paths of directories. Leaves: a value that goes to the workers with their job, and there the same paths,
after a check. Next: the jobs of `training.export.ray_blocks`, `training.search.ray_trials`,
`training.cluster.ray_group` and `serving.ray_lists`.

Models and snapshots are never sent. Each machine has the same files at the same paths, as on a shared disk.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from graphstore.files import sha256_of
from training.cluster.ray_tasks import RayFailed


@dataclass(frozen=True)
class SharedFiles:
    """Directories, and the fingerprint of their files as the caller sees them."""

    directories: tuple[str, ...]
    """Absolute: workers have working directories of their own."""
    fingerprint: str

    @classmethod
    def of(cls, *directories: Path) -> Self:
        """Return the directories with the fingerprint of their files. Raises `OSError`."""
        resolved = [directory.resolve() for directory in directories]
        return cls(tuple(map(str, resolved)), fingerprint(*resolved))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The directories, not checked."""
        return tuple(map(Path, self.directories))

    def checked(self) -> tuple[Path, ...]:
        """Return the directories. Raises `RayFailed` unless this worker sees the files of the caller."""
        for directory in self.paths:
            if not directory.is_dir():
                raise RayFailed(f"a worker has no {directory}: each machine needs the files at the same path")
        if fingerprint(*self.paths) != self.fingerprint:
            there = " or ".join(self.directories)
            raise RayFailed(f"a worker has other files in {there}: each machine needs the same files")
        return self.paths


def fingerprint(*directories: Path) -> str:
    """Return a SHA-256 over the names and the content of all files in the directories."""
    total = hashlib.sha256()
    for directory in directories:
        for file in sorted(directory.iterdir()):
            total.update(f"{file.name} {sha256_of(file)}\n".encode())
    return total.hexdigest()
