"""Batch lists: recommends to every user of a snapshot, block by block, into one file.

Arrives: a model, a snapshot. Leaves: a Parquet or JSON lines file with one row for each user. Next: programs that read
lists from files; `sagestream.mailing` gives them links on their way; `serving.publisher` writes the same lists from SQL
into Redis.

Memory holds the histories and scores of one block, at most [block, num_items], and lists leave with their block.
Besides the snapshot and one number for each of its events, memory does not grow with the number of users. The file is
written to a temporary name and then renamed, so a file with the final name is complete.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from graphstore.errors import AlreadyExists
from graphstore.files import written_whole
from graphstore.progress import Progress
from graphstore.snapshots.files import Snapshot
from training.export.block_lists import BlockLists, Lists
from training.export.parts import WHOLE, Part
from training.models.recommender import Recommender

SUFFIXES = (".parquet", ".jsonl")
"""The allowed suffixes of a file of lists."""


class Writer(Protocol):
    """Writes blocks to a file."""

    def write(self, lists: Lists) -> None: ...


def recommend_all(
    model: Recommender, snapshot: Snapshot, *, k: int, history_limit: int, block_users: int, part: Part = WHOLE
) -> Iterator[Lists]:
    """Yield the `k` best items of every user of a part, a block at a time (see `training.export.block_lists`).

    Raises `FloatingPointError` for NaN scores.
    """
    blocks = BlockLists(model, snapshot, history_limit=history_limit, block_users=block_users)
    for block in part.of(len(blocks)):
        yield blocks.lists(block, k=k)


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
