"""Data sets by name."""

from pathlib import Path

import pytest

from sagestream.datasets import UnknownDataset, read_dataset


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "shop.csv"
    file.write_text("user,item\nu,i\nv,i\n")
    assert len(read_dataset(str(file), sample=None, min_item_users=1, seed=0)) == 2
    assert len(read_dataset(str(file), sample=1, min_item_users=1, seed=0)) == 1


def test_what_is_neither_a_name_nor_a_file_is_told() -> None:
    with pytest.raises(UnknownDataset, match="neither complete-journey nor a file"):
        read_dataset("nowhere", sample=None, min_item_users=1, seed=0)
