"""Nested: columns by path, one row for each member of a list."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stream.sources.files.compressed import NotUnderstood
from stream.sources.options import SourceOptions
from stream.sources.source import Reading
from stream.sources.tabular import events_part, read

ORDERS = [
    {
        "user": {"id": "u1"},
        "at": "2024-05-01T10:00:00Z",
        "properties": {"products": [{"sku": "A", "price": 2.5, "n": 2}, {"sku": "B", "price": 1, "n": 1}]},
    },
    {"user": {"id": "u2"}, "at": "2024-05-02T10:00:00Z", "properties": {"products": [{"sku": "A", "price": 3}]}},
    {"user": {"id": "u3"}, "at": "2024-05-03T10:00:00Z", "properties": {"products": []}},
]
PATHS = SourceOptions(
    {
        "user": "user.id",
        "time": "at",
        "item": "properties.products[].sku",
        "price": "properties.products[].price",
        "quantity": "properties.products[].n",
    },
)
BOUGHT = [("u1", "A", 2.5, 2.0), ("u1", "B", 1.0, 1.0), ("u2", "A", 3.0, None)]


def bought(path: Path, options: SourceOptions) -> list[tuple[object, ...]]:
    table = read(path, options)
    assert table.rejected == {"no item": 1}
    assert set(table.interactions["event_type"]) == {"purchase"}
    assert table.interactions["event_id"].is_unique
    rows = table.interactions[["user_id", "item_id", "value", "quantity"]]
    return [tuple(None if cell != cell else cell for cell in row) for row in rows.itertuples(index=False)]


def test_products_in_a_list_are_events_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text("\n".join(map(json.dumps, ORDERS)))
    assert bought(path, PATHS) == BOUGHT


def test_parquet_is_read_by_the_same_paths(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ORDERS), tmp_path / "f.parquet")
    assert bought(tmp_path / "f.parquet", PATHS) == BOUGHT


def test_json_in_the_cells_of_a_text_file_is_read_by_paths(tmp_path: Path) -> None:
    path = tmp_path / "f.tsv"
    lines = ["\t".join([json.dumps(row["user"]), str(row["at"]), json.dumps(row["properties"])]) for row in ORDERS]
    path.write_text("\n".join(["user\tat\tproperties", *lines]))
    assert bought(path, PATHS) == BOUGHT


def test_the_members_of_two_lists_cannot_be_paired(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"user": "u", "a": [{"sku": "A"}], "b": [{"price": 1}]}')
    with pytest.raises(NotUnderstood, match=r"several lists: a\[\], b\[\]"):
        read(path, SourceOptions({"item": "a[].sku", "price": "b[].price"}))


def test_a_path_that_leads_nowhere_is_no_column(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"user": "u", "a": {"sku": "A"}}')
    with pytest.raises(NotUnderstood, match=r"no column 'goods.sku': the file has user, a"):
        read(path, SourceOptions({"item": "goods.sku"}))
    assert read(path, SourceOptions({"item": "a.sku"})).interactions["item_id"].tolist() == ["A"]


@pytest.mark.parametrize(
    ("cells", "items"),
    [
        (["i1 i2 i3", "i2|i3"], ["i1", "i2", "i3", "i2", "i3"]),
        (["A,B; C", "A"], ["A", "B", "C", "A"]),
        (["['A', 'B']", '["C"]'], ["A", "B", "C"]),
    ],
)
def test_a_column_to_part_has_several_items_in_a_cell(tmp_path: Path, cells: list[str], items: list[str]) -> None:
    path = tmp_path / "f.tsv"
    path.write_text("user_id\tbought\n" + "".join(f"u\t{cell}\n" for cell in cells))
    table = read(path, SourceOptions(explode="bought"))
    assert table.interactions["item_id"].tolist() == items
    assert table.interactions["event_id"].is_unique


def test_a_column_to_part_may_be_the_users(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text('product_id,user_id\nB1,"U1,U2"\nB2,U1\n')
    found = read(path, SourceOptions(explode="user_id")).interactions
    assert list(zip(found["user_id"], found["item_id"], strict=True)) == [("U1", "B1"), ("U2", "B1"), ("U1", "B2")]
    with pytest.raises(NotUnderstood, match="neither the users"):
        path.write_text("product_id,user_id,t\nB1,U1,x y\n")
        read(path, SourceOptions({"item": "product_id"}, explode="t"))


@pytest.mark.parametrize("named", ["item_*", "item_1,item_2,item_3"])
def test_the_items_of_a_wide_row_are_a_basket(tmp_path: Path, named: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(
        "user_id,date,item_1,item_2,item_3,note\nu1,2024-05-01,milk,bread,,x\nu2,2024-05-02,tea,,milk,\nu3,2024-05-03,,,,\n"
    )
    options = SourceOptions({"item": named})
    table = read(path, options)
    rows = table.interactions[["user_id", "item_id"]].itertuples(index=False)
    assert [tuple(row) for row in rows] == [("u1", "milk"), ("u1", "bread"), ("u2", "tea"), ("u2", "milk")]
    assert table.rejected == {"no item": 1}
    assert table.interactions["event_id"].is_unique
    reading = Reading()
    list(events_part(path, options=options).blocks(reading))
    assert reading.understood[str(path)].ignored == ["note"]
    assert reading.understood[str(path)].columns["item"] == named
