"""One table in every format, and files that are none."""

import bz2
import gzip
import json
import lzma
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stream.events import EventType
from stream.sources.files.compressed import MAX_LINE_BYTES, UnreadableFile
from stream.sources.formats.columns import BLOCK_ROWS
from stream.sources.formats.json_rows import MAX_KEYS
from stream.sources.formats.opening import header_of, open_columns, read_columns
from stream.sources.headers import plain_name
from stream.sources.options import Layout, SourceOptions
from stream.sources.rejections import Rejections
from stream.sources.tabular import read

ROWS = [
    {"user_id": "12", "item_id": "a", "rating": 4.5, "timestamp": 1393545600},
    {"user_id": "7", "item_id": "b", "rating": 1.0, "timestamp": 1393545601},
]
CSV = b"user_id,item_id,rating,timestamp\n12,a,4.5,1393545600\n7,b,1.0,1393545601\n"
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
WITHOUT_HEADER = b"".join(line + b"\n" for line in CSV.splitlines()[1:])


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def parquet(path: Path, columns: dict[str, Any]) -> Path:
    pd.DataFrame(columns).to_parquet(path)
    return path


def named(names: list[str]) -> SourceOptions:
    return SourceOptions(layout=Layout(names))


def told(path: Path, options: SourceOptions | None = None) -> list[tuple[str, str, float | None, datetime]]:
    return [(event.user_id, event.item_id, event.value, event.event_time) for event in read(path, options).events()]


EXPECTED = [
    ("12", "a", 4.5, datetime(2014, 2, 28, tzinfo=UTC)),
    ("7", "b", 1.0, datetime(2014, 2, 28, 0, 0, 1, tzinfo=UTC)),
]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("f.csv", CSV),
        ("f.csv", b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r\n")),
        ("f.csv.gz", gzip.compress(CSV, mtime=0)),
        ("f.csv", gzip.compress(CSV, mtime=0)),
        ("f.csv.bz2", bz2.compress(CSV)),
        ("f.csv.xz", lzma.compress(CSV)),
        ("f.tsv", CSV.replace(b",", b"\t")),
        ("f.inter", CSV.replace(b",", b"\t")),
        (
            "f.inter",
            b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + WITHOUT_HEADER.replace(b",", b"\t"),
        ),
        ("f.csv", CSV.replace(b",", b";")),
        ("f.txt", CSV.replace(b",", b"|")),
        ("u.data", WITHOUT_HEADER.replace(b",", b"\t")),
        ("ratings.dat", WITHOUT_HEADER.replace(b",", b"::")),
        ("ratings.csv", WITHOUT_HEADER),
        ("f.jsonl", LINES),
        ("f.json", LINES),
        ("f.ndjson.gz", gzip.compress(LINES, mtime=0)),
        ("f.jsonl", b"\xef\xbb\xbf" + LINES.replace(b"\n", b"\r\n\r\n")),
    ],
)
def test_the_same_table_in_every_form(tmp_path: Path, name: str, content: bytes) -> None:
    assert told(write(tmp_path / name, content)) == EXPECTED


@pytest.mark.parametrize(
    "times",
    [
        [1393545600, 1393545601],
        [1393545600000.0, 1393545601000.0],
        pd.to_datetime(["2014-02-28 00:00", "2014-02-28 00:00:01"], format="mixed"),
        pd.to_datetime(["2014-02-28 01:00", "2014-02-28 01:00:01"], format="mixed").tz_localize("Europe/Paris"),
        ["2014-02-28", "2014-02-28 00:00:01"],
    ],
)
@pytest.mark.parametrize("users", [["12", "7"], [12, 7], [12.0, 7.0]])
def test_parquet_with_ids_and_times_of_every_type(tmp_path: Path, users: Any, times: Any) -> None:
    columns = {"user_id": users, "item_id": pd.Categorical(["a", "b"]), "rating": [4.5, 1.0], "ts": times}
    assert told(parquet(tmp_path / "f.parquet", columns)) == EXPECTED


def test_gaps_in_a_parquet_file_are_counted_by_reason(tmp_path: Path) -> None:
    columns = {
        "Customer ID": [13085.0, None, 13085.0, 13078.0],
        "StockCode": ["85048", "85048", "22041", None],
        "InvoiceDate": pd.to_datetime(["2009-12-01 07:45", "2009-12-01 07:46", None, "2009-12-01 07:47"]),
        "Quantity": [12, 1, 1, 1],
        "Price": [6.95, 1.0, 1.0, 1.0],
    }
    table = read(parquet(tmp_path / "f.parquet", columns))
    (event,) = table.events()
    assert (event.user_id, event.event_type, event.value, event.quantity) == ("13085", EventType.PURCHASE, 6.95, 12)
    assert event.event_time == datetime(2009, 12, 1, 7, 45, tzinfo=UTC)
    assert table.rejected == {"no user": 1, "no item": 1, "no time": 1}


def test_cancellations_of_online_retail_take_back(tmp_path: Path) -> None:
    table = read(
        write(
            tmp_path / "f.csv",
            b"Invoice,StockCode,Quantity,InvoiceDate,Price,Customer ID\n"
            b"1,85048,12,2009-12-01 07:45:00,6.95,13085.0\nC2,85048,-12,2009-12-01 09:00:00,6.95,13085.0\n",
        )
    )
    assert [(event.event_type.value, event.quantity) for event in table.events()] == [("purchase", 12), ("return", 12)]
    assert table.rejected == {}


def test_dates_without_a_time(tmp_path: Path) -> None:
    table = read(parquet(tmp_path / "f.parquet", {"user": ["u"], "item": ["i"], "date": [date(2014, 2, 28)]}))
    assert next(table.events()).event_time == datetime(2014, 2, 28, tzinfo=UTC)


def test_names_for_a_file_without_header(tmp_path: Path) -> None:
    file = write(tmp_path / "f.csv", b"x,12,a,1393545600,4.5\nx,7,b,1393545601,1.0\n")
    assert told(file, named(["-", "user", "item", "time", "rating"])) == EXPECTED
    with pytest.raises(UnreadableFile, match="more cells"):
        read(file, named(["user", "item"]))
    with pytest.raises(UnreadableFile, match="two columns of one name"):
        read(file, named(["user", "user", "item"]))
    short = read(file, named(["-", "user", "item", "time", "rating", "quantity"]))
    assert len(short) == 2  # an empty cell is no quantity


def test_a_row_with_too_many_cells_is_counted(tmp_path: Path) -> None:
    table = read(write(tmp_path / "f.csv", CSV + b"8,c,2,1393545602,1,2,3\n9,d,2,1393545603\n"))
    assert ([event.user_id for event in table.events()], table.rejected) == (["12", "7", "9"], {"too many cells": 1})


def test_lines_that_are_no_object_are_counted(tmp_path: Path) -> None:
    bad = [
        b"[1]",
        b"{",
        b'"x"',
        b"\xff{}",
        b'{"user_id": "\xff"}',
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"user_id": "' + b"x" * MAX_LINE_BYTES + b'"}',
    ]
    table = read(
        write(tmp_path / "f.jsonl", LINES + b"\n".join(bad) + b'\n{"item_id": "c", "rating": 1, "timestamp": 5}')
    )
    assert len(table) == 2
    assert table.rejected == {"no JSON object": 6, "line too long": 1, "no user": 1}


def test_keys_without_end_make_no_table_without_end(tmp_path: Path) -> None:
    odd = b"".join(b'{"k%d": 1}\n' % number for number in range(2000))
    columns = read_columns(write(tmp_path / "f.jsonl", LINES + odd), Rejections())
    assert columns.shape == (2002, MAX_KEYS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("f.parquet", b"PAR1 is not enough"),
        ("f.parquet", b""),
        ("f.jsonl", b""),
        ("f.json", b"[\n1\n]\n"),
        ("f.json", b"{}"),
        ("f.csv", "user,item\nu,i\n".encode("utf-16")),
        ("f.xlsx", b"PK\x03\x04 a workbook"),
        ("f.csv", b""),
        ("f.csv.gz", gzip.compress(CSV, mtime=0)[:-12]),
        ("f.csv", b"\x1f\x8bnot gzip"),
        ("f.csv", b"\x00\x01\x02"),
        ("f.csv.bz2", b"BZ"),
        ("f.csv.xz", b"no"),
        ("f.csv", b"colour,size\nred,1\n"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(UnreadableFile):
        read(write(tmp_path / name, content))


def test_a_long_header_is_not_told_whole(tmp_path: Path) -> None:
    header = ",".join(f"c{number}" for number in range(5000)).encode()
    with pytest.raises(UnreadableFile, match="and 4980 more") as error:
        read(write(tmp_path / "f.csv", header + b"\n"))
    assert len(str(error.value)) < 500


def blocks(path: Path, wanted: list[str]) -> list[tuple[list[int], list[int], list[str]]]:
    """(numbers, places, texts of the first wanted column) of each block."""
    with open_columns(path, Rejections()) as file:
        return [
            (block.numbers.tolist(), block.places.tolist(), block.table[wanted[0]].tolist())
            for block in file.blocks(wanted)
        ]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_file_comes_in_blocks_that_join_to_the_whole(tmp_path: Path, form: str) -> None:
    users = [f"u{number}" for number in range(2 * BLOCK_ROWS + 5)]
    path = tmp_path / f"f.{form}"
    if form == "csv":
        path.write_text("user,item\n" + "".join(f"{user},i\n" for user in users))
    elif form == "jsonl":
        path.write_text("".join(json.dumps({"user": user, "item": "i"}) + "\n" for user in users))
    else:
        parquet(path, {"user": users, "item": ["i"] * len(users)})
    found = blocks(path, ["user"])
    assert [len(part) for part, _, _ in found] == [BLOCK_ROWS, BLOCK_ROWS, 5]
    assert [number for numbers, _, _ in found for number in numbers] == list(range(len(users)))
    assert [user for _, _, part in found for user in part] == users
    begins = 2 if form == "csv" else 1
    assert [place for _, places, _ in found for place in places] == list(range(begins, len(users) + begins))


def test_the_share_that_is_read_grows_to_the_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", b"user,item\n" + b"u,i\n" * (3 * BLOCK_ROWS))
    with open_columns(path, Rejections()) as file:
        shares = [file.share for _ in file.blocks(["user"])]
    assert len(shares) == 3
    assert 0 < shares[0] < shares[1] < shares[2] == 1.0


def test_names_are_compared_without_their_types() -> None:
    names = [" User_ID ", "item_id:token", "rating:float", "a:b"]
    assert [plain_name(name) for name in names] == ["user_id", "item_id", "rating", "a:b"]


def test_a_layout_reads_what_the_file_does_not_say(tmp_path: Path) -> None:
    path = write(tmp_path / "f.dat", 'é|a\n"|b\n'.encode("latin-1"))
    layout = Layout(names=("user", "item"), separator="|", quoted=False, encoding="latin-1")
    assert read_columns(path, Rejections(), layout).to_numpy().tolist() == [["é", "a"], ['"', "b"]]
    assert header_of(path, layout) == ["user", "item"]


def test_an_empty_table_has_its_columns(tmp_path: Path) -> None:
    table = read_columns(write(tmp_path / "f.csv", b"user,item\n"), Rejections())
    assert (list(table.columns), len(table)) == (["user", "item"], 0)
