"""dunnhumby's own files: numbered days need a date, and a line's price is split among its pieces."""

from datetime import date
from pathlib import Path

import pytest

from stream.sources.files.compressed import UnreadableFile
from stream.sources.options import SourceOptions
from tests.stream.sources.published import read, seconds, write

LINES = (
    "household_key,BASKET_ID,DAY,PRODUCT_ID,QUANTITY,SALES_VALUE,STORE_ID,RETAIL_DISC,TRANS_TIME,WEEK_NO,COUPON_DISC\n"
    "2375,26984851472,1,1004906,1,1.39,364,-0.6,1631,1,0\n"
    "2375,26984851472,1,1033142,2,0.82,364,0,5,1,0\n"
    "2375,26984851473,366,1033142,0,0,364,0,2399,1,0\n"
    "2375,26984851474,x,1033142,1,1,364,0,1000,1,0\n"
    "2375,26984851475,367,1,1,1,364,0,2399,1,0\n"
)


def test_days_are_counted_from_the_date_that_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "transaction_data.csv", LINES)
    found = read("table", path, options=SourceOptions(start=date(2017, 1, 1), times_needed=True))
    assert found.told == [
        ("2375", "1004906", 1.39, seconds(2017, 1, 1, 16, 31)),
        ("2375", "1033142", 0.41, seconds(2017, 1, 1, 0, 5)),
        ("2375", "1", 1.0, seconds(2018, 1, 2)),  # 2399 is no clock time
    ]
    assert [(e.quantity, e.order_id) for e in found.events][:2] == [(1, "26984851472"), (2, "26984851472")]
    assert found.reasons == [(5, "no time"), (4, "quantity out of bounds")]
    assert found.understood[0].columns["time"] == "DAY from 2017-01-01"


def test_without_the_date_the_file_is_refused_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"transaction_data\.csv: .* --start-date 2017-01-01"):
        read("table", write(tmp_path / "transaction_data.csv", LINES))


def test_products(tmp_path: Path) -> None:
    rows = "PRODUCT_ID,MANUFACTURER,DEPARTMENT,BRAND,COMMODITY_DESC,SUB_COMMODITY_DESC,CURR_SIZE_OF_PRODUCT\n"
    rows += "25671,2,GROCERY,National,FRZN ICE,ICE - CRUSHED/CUBED,22 LB\n"
    (item,) = read("dunnhumby", write(tmp_path / "product.csv", rows)).items
    assert (item.item_id, item.title, item.brand) == ("25671", "ICE - CRUSHED/CUBED", "National")
    assert item.categories == ["GROCERY", "FRZN ICE"]
