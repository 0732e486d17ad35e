"""Unfinished fits: a run that was killed while GraphSAGE learned left a checkpoint, and the next run goes on from it.

Arrives: a directory of checkpoints, each named after the snapshot that it is a fit of. Leaves: the snapshot to go on
with, and the file for the state. Next: `training.run` trains on the one, `training.train` writes the other.

A checkpoint belongs to its events to the bit, so the run that goes on takes the snapshot of the one that was killed.
What shoppers did since is new to the model and makes the next run due. A fresh snapshot and the old weights as a start
would be another fit: of an incremental run that is the purpose, here it would hide what a fit from nothing comes to.
"""

import logging
from pathlib import Path
from typing import Self

from graphstore.eventlog import seen_by
from training.leader import FileLock

logger = logging.getLogger(__name__)

SUFFIX = ".pt"


class UnfinishedFits:
    """A context in which the directory is this process' own; for a second process there is nothing in it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = FileLock(directory / "lock")

    def __enter__(self) -> Self:
        if not self._lock.acquire():
            logger.warning("another process fits GraphSAGE in %s: this fit keeps no checkpoint", self._directory)
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def snapshot_id(self, *, since: int) -> str | None:
        """Of the newest fit that was left in its middle, where its snapshot is as of `since` (epoch ms) or later."""
        if not self._lock.held():
            return None
        names = [path.stem for path in self._directory.glob(f"*{SUFFIX}")]
        fresh = [name for name in names if (seen := seen_by(name)) is not None and seen.as_of >= since]
        return max(fresh, default=None)

    def checkpoint(self, snapshot_id: str) -> Path | None:
        """Where the fit on this snapshot keeps its state; what others have left is removed."""
        if not self._lock.held():
            return None
        own = self._directory / f"{snapshot_id}{SUFFIX}"
        for path in self._directory.glob(f"*{SUFFIX}"):
            if path != own:
                path.unlink()
        return own
