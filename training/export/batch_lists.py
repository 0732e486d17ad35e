"""Batch lists: recommends to every user of a snapshot, block by block, into one file.

Arrives: a model, a snapshot. Leaves: a Parquet or JSON lines file with one row for each user. Next: programs that read
lists from files; `sagestream.mailing` gives them links on their way; `serving.publisher` writes the same lists from SQL
into Redis.

Memory holds the histories and scores of one block, at most [block, num_items], and lists leave with their block.
Besides the snapshot and one number for each of its events, memory does not grow with the number of users. The file is
written to a temporary name and then renamed, so a file with the final name is complete.
"""

import copy
import json
from collections.abc import Collection, Iterable, Iterator
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
    request_ids: list[str] | None = None
    """An id for each list, and a link for each item, where the lists leave for a place outside the shop."""
    links: list[list[str]] | None = None

    def columns(self) -> dict[str, list[Any]]:
        """Return what a file has of the block, by the names of its fields."""
        columns: dict[str, list[Any]] = {"user_id": self.user_ids, "item_ids": self.item_ids, "scores": self.scores}
        if self.request_ids is not None and self.links is not None:
            columns |= {"request_id": self.request_ids, "links": self.links}
        return columns


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


def only(lists: Iterable[Lists], users: Collection[str]) -> Iterator[Lists]:
    """Yield the lists of these users alone. They have neither request ids nor links yet."""
    for block in lists:
        kept = [row for row, user_id in enumerate(block.user_ids) if user_id in users]
        yield Lists(
            user_ids=[block.user_ids[row] for row in kept],
            item_ids=[block.item_ids[row] for row in kept],
            scores=[block.scores[row] for row in kept],
        )


def write_lists(
    lists: Iterable[Lists], path: Path, *, total: int, linked: bool = False, progress: Progress | None = None
) -> int:
    """Write the lists of `total` users to `path`, a new file with one of `SUFFIXES`, and return the number of users.

    `linked` lists have request ids and links, and so has the file. Raises `AlreadyExists`, `ValueError` for another
    suffix, and the errors of whatever makes the lists. After an error there is no file.
    """
    if path.exists():
        raise AlreadyExists(f"{path} exists: name a new file")
    done = 0
    with written_whole(path) as temporary, _writer(temporary, path.suffix, linked=linked) as writer:
        for block in lists:
            writer.write(block)
            done += len(block.user_ids)
            if progress is not None:
                progress(f"{done:,} shoppers", done / max(total, 1))
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
def _writer(path: Path, suffix: str, *, linked: bool) -> Iterator[Writer]:
    if suffix == ".parquet":
        with _parquet(path, linked=linked) as parquet:
            yield parquet
    elif suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            yield _JsonLines(file)
    else:
        raise ValueError(f"{suffix or 'no ending'} is no format: a file ends with {' or '.join(SUFFIXES)}")


class _JsonLines:
    """Writes one line for each user: {"user_id", "item_ids", "scores"}, and {"request_id", "links"} of linked lists."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, lists: Lists) -> None:
        columns = lists.columns()
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            self._file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def _parquet(path: Path, *, linked: bool) -> Iterator[Writer]:
    """Open a Parquet file with the same fields as columns, and one row group for each block."""
    import pyarrow as pa
    from pyarrow import parquet

    texts = pa.list_(pa.string())
    fields = [("user_id", pa.string()), ("item_ids", texts), ("scores", pa.list_(pa.float32()))]
    schema = pa.schema(fields + ([("request_id", pa.string()), ("links", texts)] if linked else []))

    class Parquet:
        def write(self, lists: Lists) -> None:
            columns = lists.columns()
            arrays = [pa.array(columns[field.name], type=field.type) for field in schema]
            file.write_batch(pa.record_batch(arrays, schema=schema))

    with parquet.ParquetWriter(path, schema) as file:
        yield Parquet()
