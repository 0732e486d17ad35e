"""Parquet: reads columns from a Parquet file, one batch of rows at a time.

Arrives: a path. Leaves: blocks of columns. Next: `stream.sources.formats.columns` passes them to the readers.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stream.sources.files.compressed import EmptyFile, UnreadableFile, listed
from stream.sources.formats.columns import BLOCK_BYTES, BLOCK_ROWS, Block, ColumnFile

LARGEST_WHOLE = 2.0**53


class ParquetColumns(ColumnFile):
    """An open Parquet file."""

    unit = "row"

    def __init__(self, path: Path) -> None:
        """Open the file. Raises `UnreadableFile` for other formats."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            if path.stat().st_size == 0:
                raise EmptyFile("an empty file") from error
            raise UnreadableFile(str(error)) from error
        self.header = list(self._file.schema_arrow.names)
        if twice := sorted({name for name in self.header if self.header.count(name) > 1}):
            raise UnreadableFile(f"two columns of one name: {listed(twice)}")
        self._rows = self._file.metadata.num_rows
        self._done = 0

    @property
    def share(self) -> float:
        """The share of the file (0..1) that is read."""
        return self._done / self._rows if self._rows else 1.0

    def blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        """See `ColumnFile.blocks`."""
        import pyarrow as pa

        try:
            for batch in self._file.iter_batches(self._batch_rows(), columns=list(wanted)):
                table = pd.DataFrame({name: _column(batch.column(name)) for name in wanted})
                first = self._done
                self._done += len(table)
                numbers = np.arange(first, self._done, dtype=np.int64)
                yield Block(table, numbers, numbers + 1)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise UnreadableFile(f"damaged after row {self._done}: {error}") from error

    def _batch_rows(self) -> int:
        """Return the number of rows in one block, from the widest row group of the file."""
        groups = [self._file.metadata.row_group(n) for n in range(self._file.metadata.num_row_groups)]
        widest = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=1)
        return max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(widest, 1)))


def _column(column: Any) -> "pd.Series[Any]":
    import pyarrow as pa
    from pyarrow import compute, types

    kind = column.type
    if types.is_timestamp(kind) or types.is_date(kind):
        return pd.Series(column.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False).to_pandas())
    if types.is_nested(kind):
        return pd.Series(column.to_pylist(), dtype="object")
    if types.is_floating(kind):
        # Whole numbers with gaps are often stored as floats: 12345.0 is the customer 12345. Each number is converted by
        # itself, so the result does not depend on the block boundaries.
        column = compute.cast(column, pa.float64())
        column = compute.if_else(compute.is_finite(column), column, pa.scalar(None, pa.float64()))
        whole = compute.and_(
            compute.equal(compute.floor(column), column), compute.less(compute.abs(column), LARGEST_WHOLE)
        )
        numbers = compute.cast(compute.if_else(whole, column, pa.scalar(None, pa.float64())), pa.int64())
        column = compute.coalesce(compute.cast(numbers, pa.string()), compute.cast(column, pa.string()))
    return pd.Series(column.cast(pa.string()).to_pandas(), dtype="string")
