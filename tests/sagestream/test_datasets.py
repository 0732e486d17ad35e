"""Data sets by name."""

from pathlib import Path

import pytest

from sagestream.datasets import UnfitWords, UnknownDataset, choose, read_dataset


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "shop.csv"
    file.write_text("user,item\nu,i\nv,i\n")
    assert len(read_dataset(str(file), sample=None, min_item_users=1, seed=0)) == 2
    assert len(read_dataset(str(file), sample=1, min_item_users=1, seed=0)) == 1


def test_what_is_neither_a_name_nor_a_file_is_told() -> None:
    with pytest.raises(UnknownDataset, match="neither complete-journey nor a file"):
        read_dataset("nowhere", sample=None, min_item_users=1, seed=0)


def test_a_path_alone_is_a_table_and_a_name_comes_with_its_files(tmp_path: Path) -> None:
    file = tmp_path / "shop.csv"
    file.write_text("user,item\nu,i\n")
    guessed = choose(str(file), [], mapping={"user": None}, columns="user, item")
    assert (guessed.name, guessed.paths, guessed.options.layout.names) == ("table", [file], ["user", "item"])
    named = choose("amazon", [file], mapping={})
    assert (named.name, named.paths, named.options.layout.names) == ("amazon", [file], None)
    assert choose("complete-journey", [], mapping={}).paths == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "nonsense", "rot13", "utf-8-sig", "base64"])
def test_encodings_in_which_lines_cannot_be_told_apart(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(UnfitWords, match="no encoding with ASCII in it"):
        choose("table", [tmp_path], mapping={}, encoding=encoding)
    assert choose("table", [tmp_path], mapping={}, encoding="cp1252").options.layout.encoding == "cp1252"


def test_the_order_of_dates_is_for_a_table(tmp_path: Path) -> None:
    assert choose("table", [tmp_path], mapping={}, day_first=True).options.day_first
    with pytest.raises(UnfitWords, match="the order of dates"):
        choose("amazon", [tmp_path], mapping={}, day_first=True)
