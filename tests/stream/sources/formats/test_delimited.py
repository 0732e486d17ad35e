"""Cells between separators: which line a record stands on, and what one bad record costs the others."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources.files.compressed import UnreadableFile
from stream.sources.formats.delimited import MAX_RECORD_LINES, is_rating
from stream.sources.formats.opening import open_columns
from stream.sources.options import Layout
from stream.sources.rejections import Rejection, Rejections


def read(path: Path, layout: Layout | None = None) -> tuple[list[tuple[int, str, str]], list[tuple[int, str, str]]]:
    """(line, user, item) of the rows; (line, reason, text) of the refused ones."""
    refused: list[Rejection] = []
    with open_columns(path, Rejections(refused.append, None), layout) as file:
        rows = [
            (int(place), user, item)
            for block in file.blocks(["user", "item"])
            for place, user, item in zip(block.places, block.table["user"], block.table["item"], strict=True)
        ]
    return rows, [(rejection.place, rejection.reason, rejection.row) for rejection in refused]


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "f.csv"
    path.write_bytes(content)
    return path


def test_records_over_several_lines_keep_their_places(tmp_path: Path) -> None:
    path = write(tmp_path, b'user,item\n\nu1,"a\nb"\n"u,""2""",c\n')
    assert read(path) == ([(3, "u1", "a\nb"), (5, 'u,"2"', "c")], [])


def test_a_quote_without_an_end_costs_its_own_line_alone(tmp_path: Path) -> None:
    many = b"".join(b"u%d,i\n" % number for number in range(MAX_RECORD_LINES + 50))
    rows, refused = read(write(tmp_path, b'user,item\nu,"open\n' + many + b'last,"\n'))
    assert [user for _, user, _ in rows] == [f"u{number}" for number in range(MAX_RECORD_LINES + 50)]
    assert rows[0][0] == 3
    assert refused == [
        (2, "a quote without an end", 'u,"open'),
        (MAX_RECORD_LINES + 53, "a quote without an end", 'last,"'),
    ]


def test_many_open_quotes_are_read_without_deep_recursion(tmp_path: Path) -> None:
    count = 3 * MAX_RECORD_LINES
    lines = b"".join(b'u,x"\n' if number % MAX_RECORD_LINES else b'"u,i\n' for number in range(count))
    rows, refused = read(write(tmp_path, b"user,item\n" + lines))
    assert len(rows) + len(refused) <= count
    assert rows


def test_a_line_of_another_encoding_is_refused_and_the_others_kept(tmp_path: Path) -> None:
    content = "user,item\nu,caffè\nv,tea\n".encode("latin-1")
    path = write(tmp_path, content)
    assert read(path) == ([(3, "v", "tea")], [(2, "no utf-8 text", "u,caff\\xe8")])
    assert read(path, Layout(encoding="latin-1"))[0] == [(2, "u", "caffè"), (3, "v", "tea")]


def test_a_header_of_another_encoding_is_refused_whole(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="line 1 is no utf-8 text: name the encoding"):
        read(write(tmp_path, "usér,item\nu,i\n".encode("latin-1")))


def test_a_cell_without_end_is_refused(tmp_path: Path) -> None:
    rows, refused = read(write(tmp_path, b"user,item\nu," + b"x" * (csv.field_size_limit() + 1) + b"\nv,i\n"))
    assert rows == [(3, "v", "i")]
    assert [(place, reason) for place, reason, _ in refused] == [
        (2, f"no record: field larger than field limit ({csv.field_size_limit()})")
    ]


def test_a_file_in_which_every_row_is_longer_than_the_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"more cells than the header has names \(2\)"):
        read(write(tmp_path, b"user,item\nu,i,\nv,i,\n"))


def test_of_columns_without_end_there_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="over the bound of 10,000"):
        read(write(tmp_path, b"," * 20_000 + b"\n"))


def test_a_file_whose_lines_are_no_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no line of it is a row"):
        read(write(tmp_path, b"user,item\n\xff,i\n"))


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=20))
def test_what_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "f.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("user", "item"), *rows])
    found, refused = read(path)
    assert ([(user, item) for _, user, item in found], refused) == (rows, [])


@pytest.mark.parametrize(
    ("cells", "rating"),
    [
        (["u", "i", "5", "1393545600"], True),
        (["u", "i", "5.0", "1393545600000"], True),
        (["user", "item", "rating", "timestamp"], False),
        (["u", "i", "5", "12"], False),
        (["u", "i", "5", "1393545600", "x"], False),
        (["u", "i", "5"], False),
    ],
)
def test_a_first_line_that_is_data(cells: list[str], rating: bool) -> None:
    assert is_rating(cells) is rating


def test_a_row_keeps_its_number_whatever_is_refused_before_it(tmp_path: Path) -> None:
    path = write(tmp_path, 'user,item\nu,caffè\n"open\nv,tea\n'.encode("latin-1"))
    found = []
    for layout in (Layout(), Layout(encoding="latin-1")):
        with open_columns(path, Rejections(), layout) as file:
            (block,) = file.blocks(["user"])
            found.append(dict(zip(block.table["user"], block.numbers.tolist(), strict=True)))
    assert found == [{"v": 2}, {"u": 0, "v": 2}]


def test_between_tabs_a_quote_is_a_letter_unless_a_cell_is_quoted(tmp_path: Path) -> None:
    path = write(tmp_path, b'user\titem\nu1\t"Heroes\nu2\ti2\nu3\t"Casino\n')
    assert read(path) == ([(2, "u1", '"Heroes'), (3, "u2", "i2"), (4, "u3", '"Casino')], [])
    quoted = write(tmp_path, b'user\titem\n"u1"\t"a\tb"\nu2\t"c\nd"\n')
    assert read(quoted) == ([(2, "u1", "a\tb"), (3, "u2", "c\nd")], [])


@pytest.mark.parametrize(
    ("lines", "kept", "refused"),
    [
        (['u1,"i1', "u2,i2", 'u3,"i3"', "u4,i4"], ["u2", "u3", "u4"], [2]),
        (['u1,"i1,1', "u2,i2,2", 'u3,i3",3', "u4,i4,4"], ["u2", "u3", "u4"], [2]),
        (['"a', 'x","b"', "u4,i4"], ["a\nx", "u4"], []),
        (['u1,"one', 'two"', "u4,i4"], ["u1", "u4"], []),
        (['u1,"a', "b", 'c, d",1', "u4,i4,2"], ["u1", "u4"], []),
    ],
)
def test_rows_behind_a_stray_quote_are_read_by_themselves(
    tmp_path: Path, lines: list[str], kept: list[str], refused: list[int]
) -> None:
    header = "user,item,value" if any(line.count(",") > 1 for line in lines) else "user,item"
    rows, left_out = read(write(tmp_path, "\n".join([header, *lines, ""]).encode()))
    assert [user for _, user, _ in rows] == kept
    assert [(place, reason) for place, reason, _ in left_out] == [(n, "a quote without an end") for n in refused]
