"""Parquet in batches: ids of every type, and files that are none."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stream.sources.files.compressed import UnreadableFile
from stream.sources.formats import columns, parquet
from stream.sources.formats.opening import open_columns
from stream.sources.rejections import Rejections


def cells(path: Path, column: str) -> list[Any]:
    with open_columns(path, Rejections()) as file:
        return [cell for block in file.blocks([column]) for cell in block.table[column]]


def test_whole_numbers_that_are_stored_as_floats_are_ids_wherever_a_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.parquet"
    pd.DataFrame({"user": [12345.0, None, 0.5, 2.0**60]}).to_parquet(path)
    whole = cells(path, "user")
    assert pd.isna(whole[1])
    assert [whole[0], whole[2]] == ["12345", "0.5"]
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 1)
    assert cells(path, "user")[::2] == whole[::2]


def test_wide_rows_make_short_blocks(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    row = "x" * 100_000
    pq.write_table(pa.table({"user": [row + str(n) for n in range(400)]}), path, use_dictionary=False)
    with open_columns(path, Rejections()) as file:
        sizes = [len(block.table) for block in file.blocks(["user"])]
    assert sum(sizes) == 400
    assert max(sizes) <= columns.BLOCK_BYTES / len(row)


def test_nested_cells_stay_nested(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    pd.DataFrame({"names": [["a", "b"], None]}).to_parquet(path)
    assert cells(path, "names") == [["a", "b"], None]


def test_a_damaged_page_is_told_with_the_row(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    table = pa.table({"user": [f"u{n * 7919 % 10007}" for n in range(40_000)]})
    pq.write_table(table, path, row_group_size=20_000, use_dictionary=False)
    raw = bytearray(path.read_bytes())
    second = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    raw[second : second + 2000] = b"\xff" * 2000
    path.write_bytes(bytes(raw))
    with pytest.raises(UnreadableFile, match="damaged after row 20000"):
        cells(path, "user")
