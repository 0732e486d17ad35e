"""Online Retail: what is a purchase, what takes one back, and what is neither."""

import os
from pathlib import Path

import pandas as pd
import pytest

from stream.events import EventType
from stream.sources.files.compressed import UnreadableFile
from tests.stream.sources.published import read, seconds, write

HEADER = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
ROWS = (
    "489434,85048,15CM CHRISTMAS GLASS BALL 20 LIGHTS,12,2009-12-01 07:45:00,6.95,13085.0,United Kingdom\n"
    '489435,84029g,"KNITTED UNION FLAG, HOT WATER BOTTLE",6,2009-12-01 07:46:00,3.75,13085.0,United Kingdom\n'
    "489436,85048,CHRISTMAS LIGHTS,1,2009-12-01 07:47:00,5.95,13078.0,United Kingdom\n"
    "489437,85048,15CM CHRISTMAS GLASS BALL 20 LIGHTS,1,2009-12-01 07:48:00,6.95,13078.0,United Kingdom\n"
    "C489449,85048,15CM CHRISTMAS GLASS BALL 20 LIGHTS,-12,2009-12-01 10:33:00,6.95,13085.0,Australia\n"
    "489440,21733,85123a mixed,-96,2009-12-01 11:33:00,0,,United Kingdom\n"
    "489441,POST,POSTAGE,3,2009-12-01 09:28:00,18,12682.0,France\n"
    "489442,m,Manual,1,2009-12-01 09:28:00,5,12682.0,France\n"
    "489443,22076,6 RIBBONS EMPIRE,12,2009-12-16 14:25:00,0,16126.0,United Kingdom\n"
)


def test_purchases_cancellations_and_the_rest(tmp_path: Path) -> None:
    found = read("online-retail", write(tmp_path / "retail.csv", HEADER + ROWS))
    assert [
        (event.event_type, event.user_id, event.item_id, event.quantity, event.value) for event in found.events
    ] == [
        (EventType.PURCHASE, "13085", "85048", 12, 6.95),
        (EventType.PURCHASE, "13085", "84029G", 6, 3.75),
        (EventType.PURCHASE, "13078", "85048", 1, 5.95),
        (EventType.PURCHASE, "13078", "85048", 1, 6.95),
        (EventType.CANCEL, "13085", "85048", 12, 6.95),
    ]
    assert [event.order_id for event in found.events] == ["489434", "489435", "489436", "489437", None]
    assert {event.currency for event in found.events} == {None}  # the file names none
    assert found.told[0][3] == seconds(2009, 12, 1, 7, 45)
    assert found.reasons == [
        (7, "no user"),
        (8, "no product: postage, a fee or an entry by hand"),
        (9, "no product: postage, a fee or an entry by hand"),
        (10, "no price: a gift, a sample or a correction"),
    ]
    assert [(item.item_id, item.title, item.price) for item in found.items] == [
        ("85048", "15CM CHRISTMAS GLASS BALL 20 LIGHTS", 6.95),
        ("84029G", "KNITTED UNION FLAG, HOT WATER BOTTLE", 3.75),
    ]


def test_the_first_edition_and_parquet(tmp_path: Path) -> None:
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    first = write(tmp_path / "f.csv", header + "536365,85123A,HEART,6,12/1/2010 8:26,2.55,17850,United Kingdom\n")
    table = pd.DataFrame(
        {
            "invoice": ["536365"],
            "stock_code": ["85123A"],
            "description": ["HEART"],
            "quantity": [6],
            "ts": pd.to_datetime(["2010-12-01 08:26"]),
            "price": [2.55],
            "customer_id": pd.array([17850], dtype="Int64"),
            "event": ["purchase"],
        }
    )
    table.to_parquet(tmp_path / "f.parquet")
    for path in (first, tmp_path / "f.parquet"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    one, two = read("online-retail", first), read("online-retail", tmp_path / "f.parquet")
    assert one.told == two.told == [("17850", "85123A", 2.55, seconds(2010, 12, 1, 8, 26))]
    assert one.items == two.items


def test_a_file_without_its_columns_is_none(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no column for invoice, description"):
        read("online-retail", write(tmp_path / "f.csv", "StockCode,Quantity,ts,price,customer_id\n"))


@pytest.mark.parametrize(
    ("dates", "expected", "rejected"),
    [
        (["12/1/2010 8:26", "1/2/2011 8:26", "13/1/2011 8:26"], [(2010, 12, 1, 8, 26), (2011, 1, 2, 8, 26)], [4]),
        (["01/12/2010 08:26", "02/01/2011 08:26", "13/01/2011 08:26"], [(2010, 12, 1, 8, 26), (2011, 1, 2, 8, 26)], []),
        (["04-01-2011 08:26", "13-01-2011 08:26"], [(2011, 1, 4, 8, 26), (2011, 1, 13, 8, 26)], []),
        (["4/1/2011 8:26", "4/13/2011 8:26"], [(2011, 4, 1, 8, 26), (2011, 4, 13, 8, 26)], []),
        (["13/01/2011 08:26", "02/01/2011 08:26"], [(2011, 1, 13, 8, 26), (2011, 1, 2, 8, 26)], []),
    ],
)
def test_the_first_dates_say_whether_the_day_comes_first(
    tmp_path: Path, dates: list[str], expected: list[tuple[int, ...]], rejected: list[int]
) -> None:
    rows = "".join(f"1,22076,RIBBONS,12,{date},2.5,16126,United Kingdom\n" for date in dates)
    found = read("online-retail", write(tmp_path / "f.csv", HEADER + rows))
    assert [time for *_, time in found.told][: len(expected)] == [seconds(*time) for time in expected]
    assert found.reasons == [(place, "day or month first?") for place in rejected]
