"""Decisive: a table whose meaning is not clear is refused with the option that helps."""

from pathlib import Path

import pytest

from stream.sources.decisive import look
from stream.sources.files.compressed import EmptyFile, NotUnderstood
from stream.sources.options import SourceOptions

NEEDED = SourceOptions(times_needed=True)


def write(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_a_table_without_times_names_both_options(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "user,item,colour\nu,i,red\n")
    with pytest.raises(NotUnderstood, match=r"among user, item, colour: --time-col names it, --no-times"):
        look(path, NEEDED)
    look(path, SourceOptions())


def test_a_header_alone_is_no_row_at_all(tmp_path: Path) -> None:
    with pytest.raises(EmptyFile, match="no row at all"):
        look(write(tmp_path / "f.csv", "user,item,date\n"), NEEDED)


def test_most_dates_in_the_other_order_stop_and_some_do_not(tmp_path: Path) -> None:
    most = "user,item,date\nu,i,16/02/2023\nu,i,17/02/2023\nu,i,01/02/2023\n"
    with pytest.raises(NotUnderstood, match="read it with --day-first"):
        look(write(tmp_path / "f.csv", most), NEEDED)
    assert look(tmp_path / "f.csv", SourceOptions(times_needed=True, day_first=True)) == "dates in words or digits"
    look(write(tmp_path / "f.csv", most + "u,i,03/04/2023\nu,i,04/04/2023\n"), NEEDED)


def test_a_column_without_any_time_is_not_the_one(tmp_path: Path) -> None:
    with pytest.raises(NotUnderstood, match="no cell of 'date' is a time, as 'Monday': --time-col"):
        look(write(tmp_path / "f.csv", "user,item,date\nu,i,\nu,i,Monday\nu,i,Tuesday\n"), NEEDED)
    look(write(tmp_path / "f.csv", "user,item,date\nu,i,Monday\nu,i,2023-02-16\n"), NEEDED)
    look(write(tmp_path / "f.csv", "user,item,date\nu,i,\n"), NEEDED)
