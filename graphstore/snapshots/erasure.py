"""Erasure in snapshots: rewrites every snapshot that contains a forgotten user.

Arrives: the snapshots' directory, the paths in the table `snapshots`, user ids. Leaves: the same directories without
these users. Next: `serving.forget` adds the counts to the receipt.

A snapshot that is built at the same time checks the tombstones at its end (`graphstore.snapshots.snapshot`). The search
for the ids reads the mappings as bytes, so torch is imported only when an id is found.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Engine, select

from graphstore.locks import locked
from graphstore.session import read
from graphstore.snapshots.eventlog import REWRITE_LOCK
from graphstore.tables import snapshots

ABANDONED_MS = 3_600_000
"""A hidden directory of this age was left by a killed process."""


def erase_from_snapshots(engine: Engine, directory: Path, user_ids: Sequence[str], *, now: int) -> dict[str, int | str]:
    """Rewrite every snapshot that contains one of the ids; return counts for the receipt. `now` is epoch ms.

    `rewritten` counts directories and `events` the removed events. `deleted` counts directories that could not be
    rewritten or were left by a killed process. `elsewhere` counts snapshots of the table that this machine cannot
    reach.
    """
    listed = _listed(engine)
    counts = {"rewritten": 0, "events": 0, "deleted": 0}
    for path in sorted(listed.union(path.resolve() for path in directory.glob("s*-*"))):
        if _holds(path, user_ids):
            removed = _erase(path, user_ids)
            counts["deleted" if removed is None else "rewritten"] += 1
            counts["events"] += removed or 0
    if directory.exists():
        with locked(directory / REWRITE_LOCK):  # no directory is just being replaced by another one
            leftovers = [path for path in directory.glob(".*") if path.is_dir() and _abandoned(path, now)]
            for path in leftovers:
                shutil.rmtree(path)
        counts["deleted"] += len(leftovers)
    away = sum(not path.parent.exists() for path in listed)
    return {**counts, "elsewhere": f"{away} lie in a directory that is not on this machine" if away else "none"}


def _listed(engine: Engine) -> set[Path]:
    with read(engine) as connection:
        return {Path(path) for path in connection.scalars(select(snapshots.c.path))}


def _holds(path: Path, user_ids: Sequence[str]) -> bool:
    file = path / "mappings.json"
    content = file.read_bytes() if file.exists() else b""
    if not any(json.dumps(user_id, ensure_ascii=False).encode() in content for user_id in user_ids):
        return False
    mappings = json.loads(content)
    return not (mappings["user2id"].keys() | mappings.get("known_users", {}).keys()).isdisjoint(user_ids)


def _erase(path: Path, user_ids: Sequence[str]) -> int | None:
    """Return the number of removed events, or None when the whole directory was deleted."""
    from graphstore.snapshots.rewrite import OlderForm, erase_users

    try:
        return erase_users(path, user_ids)
    except OlderForm:
        shutil.rmtree(path)
        return None


def _abandoned(path: Path, now: int) -> bool:
    if path.name.startswith(".erased."):
        return True
    return path.name.startswith(".s") and path.stat().st_mtime * 1000 < now - ABANDONED_MS
