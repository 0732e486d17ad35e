"""Instacart: orders and lines in two files, times from the days between orders."""

from datetime import date
from itertools import permutations
from pathlib import Path

import pytest

from stream.sources.files.compressed import UnreadableFile
from stream.sources.options import SourceOptions
from tests.stream.sources.published import read, seconds, write

ORDERS = (
    "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order\n"
    "2539329,1,prior,1,2,08,\n2398795,1,prior,2,3,07,15.0\n473747,1,train,3,3,12,21.0\n99,2,prior,2,0,00,7.0\n"
)
PRIOR = (
    "order_id,product_id,add_to_cart_order,reordered\n2539329,196,1,0\n2398795,196,1,1\n2398795,10258,2,0\n99,196,1,1\n"
)
TRAIN = "order_id,product_id,add_to_cart_order,reordered\n473747,46149,1,0\n"
PRODUCTS = "product_id,product_name,aisle_id,department_id\n196,Soda,77,7\n"
AISLES = "aisle_id,aisle\n77,soft drinks\n"
DEPARTMENTS = "department_id,department\n7,beverages\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the data set."""
    where = tmp_path / "instacart"
    where.mkdir()
    for name, content in (
        ("orders", ORDERS),
        ("order_products__prior", PRIOR),
        ("order_products__train", TRAIN),
        ("products", PRODUCTS),
        ("aisles", AISLES),
        ("departments", DEPARTMENTS),
    ):
        write(where / f"{name}.csv", content)
    return where


def test_a_folder_gives_baskets_with_times_and_products_with_categories(folder: Path) -> None:
    found = read("table", folder)
    assert sorted(found.forms) == ["Instacart orders", "Instacart orders", "Instacart products"]
    assert found.told == [
        ("1", "196", None, seconds(2017, 1, 1, 8)),
        ("1", "196", None, seconds(2017, 1, 16, 7)),
        ("1", "10258", None, seconds(2017, 1, 16, 7)),
        ("1", "46149", None, seconds(2017, 2, 6, 12)),
    ]
    assert [event.order_id for event in found.events] == ["2539329", "2398795", "2398795", "473747"]
    assert [(i.item_id, i.title, i.categories) for i in found.items] == [("196", "Soda", ["beverages", "soft drinks"])]
    # The orders are read once for each file of lines.
    unordered = [(5, "orders of a shopper are not one after the other")]
    assert found.reasons == [*unordered, (5, "no order of this id in the file of orders"), *unordered]


def test_the_order_of_the_files_means_nothing(folder: Path) -> None:
    files = [folder / f"{name}.csv" for name in ("orders", "order_products__prior", "products")]
    found = [read("table", *some) for some in permutations(files)]
    assert all(one.events == found[0].events and len(one.events) == 3 for one in found)


def test_the_assumed_start_is_said_and_can_be_another(folder: Path) -> None:
    files = [folder / "orders.csv", folder / "order_products__prior.csv"]
    assumed = read("instacart", *files)
    assert "2017-01-01, which is assumed: --start-date" in assumed.understood[0].columns["time"]
    given = read("instacart", *files, options=SourceOptions(start=date(2015, 5, 1)))
    assert given.told[0][3] == seconds(2015, 5, 1, 8)
    assert "assumed" not in given.understood[0].columns["time"]


@pytest.mark.parametrize("alone", ["orders", "order_products__prior"])
def test_one_of_two_files_is_refused_with_advice(folder: Path, alone: str) -> None:
    with pytest.raises(UnreadableFile, match="give both files in one call"):
        read("table", folder / f"{alone}.csv")
