"""Batch lists: recommends to every user of a snapshot, block by block, into one file.

Arrives: a model, a snapshot. Leaves: a Parquet or JSON lines file with one row for each user. Next: programs that read
lists from files; `serving.publisher` writes the same lists from SQL into Redis.

Memory holds the histories and scores of one block, at most [block, num_items], and lists leave with their block.
Besides the snapshot and one number for each of its events, memory does not grow with the number of users. The file is
written to a temporary name and then renamed, so a file with the final name is complete.
"""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from graphstore.arrays import IntArray, offsets_of
from graphstore.errors import AlreadyExists
from graphstore.files import written_whole
from graphstore.progress import Progress
from graphstore.snapshots.files import Snapshot
from graphstore.tables import HOUR_MS
from training.data.event_log import EventLog, Histories, gather_ranges
from training.models.recommender import Recommender

SUFFIXES = (".parquet", ".jsonl")
"""The allowed suffixes of a file of lists."""


@dataclass(frozen=True)
class Lists:
    """The lists of a block of users, best item first."""

    user_ids: list[str]
    item_ids: list[list[str]]
    scores: list[list[float]]


class Writer(Protocol):
    """Writes blocks to a file."""

    def write(self, lists: Lists) -> None: ...


def recommend_all(
    model: Recommender, snapshot: Snapshot, *, k: int, history_limit: int, block_users: int
) -> Iterator[Lists]:
    """Yield the `k` best items of every user at the snapshot's time, from the newest `history_limit` events.

    The model's trend learns the snapshot's newer events, as in near-line serving. Events of unknown items are dropped.
    Lists leave out items that the snapshot marks as unavailable. Raises `FloatingPointError` for NaN scores.
    """
    model_rows = model.rows_of(snapshot.item_keys)
    log = EventLog.from_snapshot(snapshot)
    newer = log.between(start=model.as_of // HOUR_MS * HOUR_MS)  # a refresh replaces whole hours
    newer = newer.take(np.flatnonzero(model_rows[newer.items] >= 0))
    ones = np.ones(len(newer), dtype=np.int64)
    model.refresh_trend(newer.times // HOUR_MS, snapshot.item_keys[newer.items], ones)
    shop = copy.copy(model)
    shop.available = model.available.copy()
    shop.available[model_rows[(model_rows >= 0) & ~snapshot.catalogue.available]] = False
    histories = _histories(log, model_rows, last=history_limit, block_users=block_users)
    for start, block in zip(range(0, snapshot.num_users, block_users), histories, strict=True):
        end = start + len(block)
        rows, scores = shop.recommend(block, as_of=snapshot.as_of, k=k)
        yield Lists(
            user_ids=snapshot.user_ids[start:end],
            item_ids=[[model.item_ids[row] for row in user[user >= 0]] for user in rows],
            scores=[own[user >= 0].tolist() for user, own in zip(rows, scores, strict=True)],
        )


def write_lists(
    model: Recommender,
    snapshot: Snapshot,
    path: Path,
    *,
    k: int,
    history_limit: int,
    block_users: int,
    progress: Progress | None = None,
) -> int:
    """Write all users' lists to `path`, a new file with one of `SUFFIXES`, and return the number of users.

    Raises `AlreadyExists`, `ValueError` for another suffix, and the errors of `recommend_all`. After an error there
    is no file.
    """
    if path.exists():
        raise AlreadyExists(f"{path} exists: name a new file")
    done = 0
    with written_whole(path) as temporary, _writer(temporary, path.suffix) as writer:
        for lists in recommend_all(model, snapshot, k=k, history_limit=history_limit, block_users=block_users):
            writer.write(lists)
            done += len(lists.user_ids)
            if progress is not None:
                progress(f"{done:,} shoppers", done / snapshot.num_users)
    return done


def _histories(log: EventLog, model_rows: IntArray, *, last: int, block_users: int) -> Iterator[Histories]:
    """Yield the histories block by block: each user's `last` newest events of items that the model knows."""
    indices = np.flatnonzero(model_rows[log.items] >= 0)
    indices = indices[np.argsort(log.users[indices], kind="stable")]  # stable: each user's events stay in time order
    bounds = offsets_of(np.bincount(log.users[indices], minlength=log.num_users))
    for start in range(0, log.num_users, block_users):
        ends = bounds[start + 1 : start + 1 + block_users]
        starts = np.maximum(bounds[start : start + len(ends)], ends - last)
        offsets, chosen = gather_ranges(starts, ends - starts)
        rows = indices[chosen]
        yield Histories(
            offsets=offsets,
            items=model_rows[log.items[rows]],
            times=log.times[rows],
            types=log.types[rows],
        )


@contextmanager
def _writer(path: Path, suffix: str) -> Iterator[Writer]:
    if suffix == ".parquet":
        with _parquet(path) as parquet:
            yield parquet
    elif suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            yield _JsonLines(file)
    else:
        raise ValueError(f"{suffix or 'no ending'} is no format: a file ends with {' or '.join(SUFFIXES)}")


class _JsonLines:
    """Writes one line for each user: {"user_id", "item_ids", "scores"}."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, lists: Lists) -> None:
        for user_id, item_ids, scores in zip(lists.user_ids, lists.item_ids, lists.scores, strict=True):
            row = {"user_id": user_id, "item_ids": item_ids, "scores": scores}
            self._file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def _parquet(path: Path) -> Iterator[Writer]:
    """Open a Parquet file with the same fields as columns, and one row group for each block."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        [("user_id", pa.string()), ("item_ids", pa.list_(pa.string())), ("scores", pa.list_(pa.float32()))]
    )

    class Parquet:
        def write(self, lists: Lists) -> None:
            columns = [lists.user_ids, lists.item_ids, lists.scores]
            arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
            file.write_batch(pa.record_batch(arrays, schema=schema))

    with parquet.ParquetWriter(path, schema) as file:
        yield Parquet()
