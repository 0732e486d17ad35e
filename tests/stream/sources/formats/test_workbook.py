"""Workbooks: the rows of a spreadsheet are events as those of the same CSV are."""

from pathlib import Path

import pytest

from graphstore.errors import MissingExtra
from stream.events import utc
from stream.sources.files.compressed import EmptyFile, UnreadableFile
from stream.sources.options import SourceOptions
from stream.sources.tabular import read
from tests.stream.sources.workbooks import Cell, write_workbook

HEADER: list[Cell] = ["Invoice", "StockCode", "Quantity", "InvoiceDate", "Price", "Customer ID"]
DATES = (3,)


def test_a_sheet_is_a_table_with_dates_and_whole_numbers(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [
        HEADER,
        [489434, 85048, 12, 40148.322916666664, 6.95, 13085.0],
        [],
        ["C489449", "22087", -12, 40148.4409722222, 2.95, 16321],
        [489435, "15056N", 1, 40148.5, 5.95, None],
    ]
    table = read(write_workbook(tmp_path / "f.xlsx", {"Sheet1": rows, "Sheet2": []}, dates=DATES))
    found = table.interactions
    assert found["user_id"].tolist() == ["13085", "16321"]
    assert found["item_id"].tolist() == ["85048", "22087"]
    assert found["event_type"].tolist() == ["purchase", "return"]
    assert [f"{utc(time):%Y-%m-%d %H:%M}" for time in found["event_time"]] == ["2009-12-01 07:45", "2009-12-01 10:35"]
    assert found["value"].tolist() == [6.95, 2.95]
    assert found["quantity"].tolist() == [12, 12]
    assert table.rejected == {"no user": 1}


def test_sheets_of_the_same_columns_are_one_table_and_others_are_refused(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [["user", "item"], ["u", "i"]]
    two = write_workbook(tmp_path / "two.xlsx", {"2009": rows, "2010": rows})
    assert len(read(two).interactions) == 2
    assert read(two).interactions["event_id"].is_unique
    with pytest.raises(UnreadableFile, match=r"sheets of different columns \(orders, notes\)"):
        read(write_workbook(tmp_path / "notes.xlsx", {"orders": rows, "notes": [["remember the milk"]]}))


def test_what_is_no_workbook_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in (("old.xls", b"\xd0\xcf\x11\xe0 not whole"), ("f.xlsx", b"PK\x03\x04")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableFile, match=f"{name}: a workbook that cannot be read .*: save its sheets as CSV"):
            read(tmp_path / name)
    with pytest.raises(EmptyFile, match="an empty workbook"):
        read(write_workbook(tmp_path / "empty.xlsx", {"Sheet1": []}))
    monkeypatch.setitem(__import__("sys").modules, "python_calamine", None)
    with pytest.raises(MissingExtra, match=r"pip install \"\.\[files\]\""):
        read(write_workbook(tmp_path / "g.xlsx", {"Sheet1": [["user", "item"], ["u", "i"]]}), SourceOptions())
