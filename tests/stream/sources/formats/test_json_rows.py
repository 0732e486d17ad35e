"""JSON as rows: objects a line, lists, one object of rows, and the literals of Python."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources.files.compressed import UnreadableFile
from stream.sources.formats import json_rows
from stream.sources.formats.json_rows import MAX_LITERAL_DEPTH, NoRow, literal
from stream.sources.formats.opening import open_columns
from stream.sources.rejections import Rejection, Rejections


def read(path: Path) -> tuple[list[dict[str, Any]], list[tuple[str, int, str]]]:
    """The rows, and (unit, place, reason) of the refused ones."""
    refused: list[Rejection] = []
    with open_columns(path, Rejections(refused.append, None)) as file:
        rows = [row for block in file.blocks(file.header) for row in block.table.to_dict("records")]
    return rows, [(rejection.unit, rejection.place, rejection.reason) for rejection in refused]


def write(tmp_path: Path, content: str, name: str = "f.json") -> Path:
    path = tmp_path / name
    path.write_text(content)
    return path


@pytest.mark.parametrize("indent", [None, 2])
def test_users_with_their_items_in_order(tmp_path: Path, indent: int | None) -> None:
    path = write(tmp_path, json.dumps({"0": [7, 8], "1": ["a"], "2": []}, indent=indent))
    assert read(path) == (
        [{"user": "0", "item": "7"}, {"user": "0", "item": "8"}, {"user": "1", "item": "a"}],
        [],
    )


@pytest.mark.parametrize("indent", [None, 2])
def test_items_with_what_is_known_of_them(tmp_path: Path, indent: int | None) -> None:
    path = write(tmp_path, json.dumps({"0": {"title": "A", "price": 1}, "1": {"title": "B"}}, indent=indent))
    assert read(path)[0] == [{"item": "0", "title": "A", "price": "1"}, {"item": "1", "title": "B", "price": ""}]


def test_a_list_of_objects(tmp_path: Path) -> None:
    path = write(tmp_path, '[{"user": "u", "item": 1},\n 5, {"user": "v", "item": 2}]')
    assert read(path) == (
        [{"user": "u", "item": "1"}, {"user": "v", "item": "2"}],
        [("member", 2, "no JSON object")],
    )


def test_members_that_are_no_rows_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, '{"a": ["x"], "b": 3, "c": ["\\ud800"], "d": ["y"]}')
    assert read(path) == (
        [{"user": "a", "item": "x"}, {"user": "d", "item": "y"}],
        [("member", 2, "no list of items and no object"), ("member", 3, "no JSON object")],
    )


@pytest.mark.parametrize("line", ['{"tags": ["x"]}', '{"user": "u", "tags": ["x"]}'])
def test_lines_are_no_members(tmp_path: Path, line: str) -> None:
    rows, _ = read(write(tmp_path, f"{line}\n{line}\n"))
    assert [row["tags"] for row in rows] == [["x"], ["x"]]


def test_an_object_that_ends_early_keeps_what_came_before(tmp_path: Path) -> None:
    path = write(tmp_path, '{"a": ["x", "y"], "b": ["z"')
    with open_columns(path, Rejections()) as file:
        found = file.blocks(file.header)
        assert next(found).table["item"].tolist() == ["x", "y"]
        with pytest.raises(UnreadableFile, match="no JSON in member 2"):
            next(found)


def test_a_member_without_end_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "MAX_MEMBER_CHARACTERS", 1000)
    monkeypatch.setattr(json_rows, "CHUNK_BYTES", 100)
    path = write(tmp_path, '{"a": [' + "1," * 600 + "1]}")
    with pytest.raises(UnreadableFile, match="more than 1,000 characters"):
        read(path)


@given(st.dictionaries(st.text(max_size=3), st.lists(st.integers(), min_size=1, max_size=5), min_size=1, max_size=5))
def test_the_window_may_end_anywhere(tmp_path_factory: pytest.TempPathFactory, members: dict[str, list[int]]) -> None:
    path = tmp_path_factory.mktemp("json") / "f.json"
    path.write_text(json.dumps(members, ensure_ascii=False), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "CHUNK_BYTES", 1)
        rows, _ = read(path)
    assert rows == [{"user": user, "item": str(item)} for user, items in members.items() for item in items]


def test_the_first_metadata_of_2014(tmp_path: Path) -> None:
    lines = [
        "{'asin': '0000031852', 'title': \"Girls' Tutu\", 'price': 3.17, 'categories': [['Sports', 'Dance']]}",
        "{'asin': '0000031853', 'title': None}",
        '{"asin": "0000031854", "title": "as JSON"}',
        "__import__('os').system('true')",
        "{'asin': open('x')}",
    ]
    path = tmp_path / "meta.json.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    rows, refused = read(path)
    assert [(row["asin"], row["title"]) for row in rows] == [
        ("0000031852", "Girls' Tutu"),
        ("0000031853", ""),
        ("0000031854", "as JSON"),
    ]
    assert rows[0]["categories"] == [["Sports", "Dance"]]
    assert refused == [("line", 4, "neither JSON nor a literal"), ("line", 5, "neither JSON nor a literal")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{'a': " + b"[" * (MAX_LITERAL_DEPTH + 1) + b"]" * (MAX_LITERAL_DEPTH + 1) + b"}", "too deep"),
        (b"{'a': '" + b"x" * (256 * 1024) + b"'}", "too long"),
        (b"{'a': 1 + }", "neither"),
        (b"[1]", "no JSON object"),
        (b"{'a': '\\ud800'}", "no JSON object"),
        (b"{'a': 2j}", "no JSON object"),
        (b"{'a': \xff}", "neither"),
    ],
)
def test_literals_have_bounds(line: bytes, reason: str) -> None:
    with pytest.raises(NoRow, match=reason):
        literal(line)
    assert literal(b"{'a': '\\d'}") == {"a": "\\d"}  # without a warning of Python's


def test_a_list_of_objects_under_a_name_is_the_table_itself(tmp_path: Path) -> None:
    orders = '{"orders": [{"customer_id": "c1", "sku": "A"}, {"customer_id": "c2", "sku": "B"}]}'
    assert read(write(tmp_path, orders)) == (
        [{"customer_id": "c1", "sku": "A"}, {"customer_id": "c2", "sku": "B"}],
        [],
    )
    found, _ = read(write(tmp_path, '{"u1": [{"sku": "A"}, {"sku": "B"}], "u2": [{"sku": "C"}]}'))
    assert found == [{"user": "u1", "sku": "A"}, {"user": "u1", "sku": "B"}, {"user": "u2", "sku": "C"}]


def test_a_table_in_pieces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="orient=split"):
        read(write(tmp_path, '{"columns": ["user_id", "item_id"], "index": [0], "data": [["u", "i"]]}'))
