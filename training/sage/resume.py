"""Resume: the checkpoints of killed runs, so that a later run continues an unfinished GraphSAGE fit.

Arrives: a directory of checkpoints, named after their snapshots and settings. Leaves: the snapshot for the next run,
and the file for the state. Next: `training.lifecycle.run` trains on the snapshot, `training.sage.fit` writes the file.

A checkpoint is valid only for exactly the same events. So the resumed run uses the snapshot of the killed run, and the
run after it uses the newer events. Rejected: the old weights as a start on a new snapshot, because that is an
incremental fit and not the full fit that was requested.
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


def resumable_since(connection: Connection, *, now: int, max_age_seconds: float) -> int:
    """Return the time (epoch ms) before which a snapshot is too old to resume a fit on it. `now` is epoch ms.

    A snapshot is too old after `max_age_seconds`. It is also too old when, since its time, a model was made, which the
    new model must be compared with; when a retrain was requested, which must include newer events; or when a user in
    the snapshot was erased.
    """
    events = (models.c.created_at, retrain_requests.c.requested_at, erasures.c.requested_at)
    newest = (connection.scalar(select(func.max(time))) or 0 for time in events)
    return max(now - int(max_age_seconds * 1000), *newest)


class CheckpointStore:
    """The checkpoints in a directory, as a context that holds a lock. A second process sees no checkpoints.

    `settings` is a text of everything that determines a fit on a snapshot. Fits with other settings are ignored.
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
        """Return the snapshot of the newest unfinished fit with `as_of` >= `since` (epoch ms). None: no such fit."""
        if not self._lock.held():
            return None
        names = [path.name.removesuffix(self._suffix) for path in self._directory.glob(f"*{self._suffix}")]
        fresh = [name for name in names if (seen := seen_by(name)) is not None and seen.as_of >= since]
        return max(fresh, default=None)

    def checkpoint(self, snapshot_id: str) -> Path | None:
        """Return the checkpoint file for this snapshot and delete all others. None: another process has the lock."""
        if not self._lock.held():
            return None
        own = self._directory / f"{snapshot_id}{self._suffix}"
        for path in self._directory.iterdir():
            if path.name not in (own.name, LOCK):
                path.unlink()
        return own
