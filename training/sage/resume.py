"""Unfinished fits: a run that was killed while GraphSAGE learned left a checkpoint, and a later run goes on from it.

Arrives: a directory of checkpoints, each named after its snapshot and its settings. Leaves: the snapshot to go on with,
and the file for the state. Next: `training.lifecycle.run` trains on the one, `training.sage.fit` writes the other.

A checkpoint belongs to its events to the bit, so the run that goes on takes the snapshot of the one that was killed,
and what shoppers did since is left to the run after it. The old weights as a start on a fresh snapshot would be another
fit: of an incremental run that is the purpose, here it would hide what a fit from nothing comes to.
"""

import hashlib
import logging
from pathlib import Path
from typing import Self

import torch
from sqlalchemy import Connection, func, select

from graphstore.locks import FileLock
from graphstore.snapshots.eventlog import seen_by
from graphstore.tables import erasures, models, retrain_requests

logger = logging.getLogger(__name__)

LOCK = "lock"


def outdated_before(connection: Connection, *, now: int, max_age_seconds: float) -> int:
    """Epoch ms: a fit on a snapshot of before then is not gone on with.

    It is older than `max_age_seconds`, or since then a model was made, to be compared with; somebody asked for a
    retrain, of what the snapshot does not hold; or somebody was forgotten, who is in it.
    """
    events = (models.c.created_at, retrain_requests.c.requested_at, erasures.c.requested_at)
    newest = (connection.scalar(select(func.max(time))) or 0 for time in events)
    return max(now - int(max_age_seconds * 1000), *newest)


class CheckpointStore:
    """A context in which the directory is this process' own; for a second process there is nothing in it.

    `settings` is the text of all that decides what a fit on a snapshot comes to: fits with others are not seen.
    """

    def __init__(self, directory: Path, *, settings: str) -> None:
        mark = hashlib.sha256(f"{torch.__version__} {settings}".encode()).hexdigest()[:16]
        self._directory = directory
        self._suffix = f".{mark}.pt"
        self._lock = FileLock(directory / LOCK)

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
        names = [path.name.removesuffix(self._suffix) for path in self._directory.glob(f"*{self._suffix}")]
        fresh = [name for name in names if (seen := seen_by(name)) is not None and seen.as_of >= since]
        return max(fresh, default=None)

    def checkpoint(self, snapshot_id: str) -> Path | None:
        """Where the fit on this snapshot keeps its state; what others have left, whole or half written, is removed."""
        if not self._lock.held():
            return None
        own = self._directory / f"{snapshot_id}{self._suffix}"
        for path in self._directory.iterdir():
            if path.name not in (own.name, LOCK):
                path.unlink()
        return own
