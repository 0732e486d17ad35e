"""Files in the form of public reports: what each one means, value by value.

The name of each case says what the file is; the comment says where people met it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from stream.events import utc
from stream.sources.files.compressed import UnreadableFile
from stream.sources.opening import open_source
from stream.sources.options import Layout, SourceOptions
from stream.sources.source import Reading

Row = tuple[str, str, str, str, float | None, float | None]
"""User, item, type, time, value and quantity."""


@dataclass(frozen=True)
class Case:
    """A file and what is right."""

    file: str
    content: str | bytes
    rows: list[Row]
    rejected: Mapping[str, int] = field(default_factory=dict)
    options: SourceOptions = field(default_factory=lambda: SourceOptions(times_needed=True))


def said(**options: Any) -> SourceOptions:
    return SourceOptions(times_needed=True, **options)


BERLIN = ZoneInfo("Europe/Berlin")

CASES = {
    "the column of times has another name": Case(  # RUCAIBox/RecBole#1520, #1139 (H&M: t_dat)
        "transactions_train.csv",
        "t_dat,customer_id,article_id,price\n2018-09-21,c1,0900000001,0.05\n",
        [("c1", "0900000001", "purchase", "2018-09-21 00:00:00", 0.05, None)],
    ),
    "an offset behind GMT has its own sign": Case(  # dateutil/dateutil#70
        "gmt.tsv",
        "user_id\titem_id\tts\nu\ti\tMon Nov 06 2023 01:30:00 GMT-0500\nu\tj\t2016-01-02 00:00 UTC-5\n",
        [
            ("u", "j", "purchase", "2016-01-02 05:00:00", None, None),
            ("u", "i", "purchase", "2023-11-06 06:30:00", None, None),
        ],
    ),
    "the key around a list of orders is nobody": Case(  # the REST lists of shops
        "orders.json",
        '{"orders": [{"customer_id": "c1", "sku": "A", "timestamp": 1714557600}]}',
        [("c1", "A", "purchase", "2024-05-01 10:00:00", None, None)],
    ),
    "a line's price is no rating, and a refunded order takes back": Case(  # Shopify's export of orders
        "shopify_orders.csv",
        "Name,Email,Financial Status,Created at,Lineitem quantity,Lineitem price,Lineitem sku\n"
        "#1,a@example.org,paid,2025-10-07 09:00:00 +0200,3,34.90,L-1\n"
        "#2,b@example.org,refunded,2025-10-08 10:00:00 +0200,1,34.90,L-1\n",
        [
            ("a@example.org", "L-1", "purchase", "2025-10-07 07:00:00", 34.9, 3.0),
            ("b@example.org", "L-1", "return", "2025-10-08 08:00:00", 34.9, 1.0),
        ],
    ),
    "an event without a readable price is an event": Case(  # RUCAIBox/RecBole#2125 ("—" as a price)
        "mixed.csv",
        "user_id,event_type,item_id,price,event_time\nu,view,i,,2024-05-01\nu,purchase,i,—,2024-05-02\n",
        [
            ("u", "i", "view", "2024-05-01 00:00:00", None, None),
            ("u", "i", "purchase", "2024-05-02 00:00:00", None, None),
        ],
    ),
    "words for no value are nobody": Case(  # mydumper/mydumper#586, woocommerce/woocommerce#25992
        "null.csv",
        "user_id,item_id,date\nNULL,i,2024-05-01\n\\N,i,2024-05-01\nu,undefined,2024-05-01\nu,i,2024-05-01\n",
        [("u", "i", "purchase", "2024-05-01 00:00:00", None, None)],
        {"no user": 2, "no item": 1},
    ),
    "a cell is a basket": Case(  # PreferredAI/cornac#577
        "basket.csv",
        "user_id,product_ids,date\nu,i1 i2,2024-05-01\nu,i2|i3,2024-05-02\n",
        [
            ("u", "i1", "purchase", "2024-05-01 00:00:00", None, None),
            ("u", "i2", "purchase", "2024-05-01 00:00:00", None, None),
            ("u", "i2", "purchase", "2024-05-02 00:00:00", None, None),
            ("u", "i3", "purchase", "2024-05-02 00:00:00", None, None),
        ],
        options=said(explode="product_ids"),
    ),
    "clicks without a header are what their owner says": Case(  # CRIPAC-DIG/SR-GNN#34
        "yoochoose-clicks.dat",
        "11,2014-04-07T10:00:01.000Z,70001,0\n",
        [("11", "70001", "click", "2014-04-07 10:00:01", None, None)],
        options=said(layout=Layout(["user", "time", "item", "-"]), event_type="click"),
    ),
    "names of types of the trade": Case(  # Taobao's UserBehavior
        "UserBehavior.csv",
        "1,7,0,pv,1511544000\n1,7,0,fav,1511544001\n1,7,0,buy,1511544002\n",
        [
            ("1", "7", "view", "2017-11-24 17:20:00", None, None),
            ("1", "7", "click", "2017-11-24 17:20:01", None, None),
            ("1", "7", "purchase", "2017-11-24 17:20:02", None, None),
        ],
        options=said(layout=Layout(["user", "item", "-", "type", "time"]), type_names={"fav": "click"}),
    ),
    "an event that is named counts once": Case(  # metarank/metarank#479
        "array.json",
        json.dumps([{"event_id": "e1", "user_id": "u", "item_id": "i", "event_time": "2024-05-01"}] * 2),
        [("u", "i", "purchase", "2024-05-01 00:00:00", None, None)],
        {"the same event again": 1},
    ),
    "European dates": Case(  # hay-kot/homebox#383
        "eu.csv",
        "user_id,item_id,date\nu,i,16/02/2023 02:53\nu,j,01/03/2023 02:53\n",
        [
            ("u", "i", "purchase", "2023-02-16 02:53:00", None, None),
            ("u", "j", "purchase", "2023-03-01 02:53:00", None, None),
        ],
        options=said(day_first=True),
    ),
    # Ten more.
    "a first line that says the separator": Case(  # mechatroner/vscode_rainbow_csv#108
        "sep.csv",
        "sep=;\nuser_id;item_id;date;price\nu;i;2024-05-01;1,5\n",
        [("u", "i", "purchase", "2024-05-01 00:00:00", 1.5, None)],
    ),
    "points between thousands and a decimal comma": Case(  # pola-rs/polars#18797, pandas-dev/pandas#59299
        "decimal.csv",
        "user_id;item_id;date;price\nu;i;2024-05-01;1,20\nu;j;2024-05-01;1.234,56\n",
        [
            ("u", "i", "purchase", "2024-05-01 00:00:00", 1.2, None),
            ("u", "j", "purchase", "2024-05-01 00:00:00", 1234.56, None),
        ],
    ),
    "zeros in front of a code are a part of it": Case(  # dweeves/magmi-git#529
        "zeros.csv",
        "user_id,sku,date\n007,0017,2024-05-01\n007,17,2024-05-02\n",
        [
            ("007", "0017", "purchase", "2024-05-01 00:00:00", None, None),
            ("007", "17", "purchase", "2024-05-02 00:00:00", None, None),
        ],
    ),
    "zeros behind the point of a code are a part of it": Case(  # woocommerce/woocommerce#63730
        "points.csv",
        "user_id,sku,date\nu,90.750,2024-05-01\nu,90.75,2024-05-02\nu,12.0,2024-05-03\n",
        [
            ("u", "90.750", "purchase", "2024-05-01 00:00:00", None, None),
            ("u", "90.75", "purchase", "2024-05-02 00:00:00", None, None),
            ("u", "12", "purchase", "2024-05-03 00:00:00", None, None),
        ],
    ),
    "a code that a spreadsheet has cut is no item": Case(  # bowenliang123/markdown-exporter#73
        "cut.csv",
        "user_id,sku,date\nu,6.93217E+12,2024-05-01\nu,06932169358293,2024-05-01\n",
        [("u", "06932169358293", "purchase", "2024-05-01 00:00:00", None, None)],
        {"no item": 1},
    ),
    "times as decimal numbers keep their second": Case(  # RUCAIBox/RecBole#1653, #2204
        "ml.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t2\t5\t978300760.0\n1\t3\t4\t978300761.0\n",
        [
            ("1", "2", "rating", "2000-12-31 22:12:40", 5.0, None),
            ("1", "3", "rating", "2000-12-31 22:12:41", 4.0, None),
        ],
    ),
    "the hour that a clock change repeats has a name": Case(  # Alexays/Waybar#2616
        "night.csv",
        "user_id,item_id,date\nu,i,2023-10-29 02:15:27 CEST\nu,i,2023-10-29 02:15:27 CET\nu,i,2023-03-26 02:30:00\n",
        [
            ("u", "i", "purchase", "2023-03-26 01:00:00", None, None),
            ("u", "i", "purchase", "2023-10-29 00:15:27", None, None),
            ("u", "i", "purchase", "2023-10-29 01:15:27", None, None),
        ],
        options=said(zone=BERLIN),
    ),
    "lines of an order in a list": Case(  # Somfic/EliteAPI#389, WorkMaze/JUST.net#82
        "order.jsonl",
        json.dumps(
            {
                "kind": "order",
                "Order": {
                    "customer": {"id": 16},
                    "at": "2024-05-01",
                    "OrderLines": [{"SkuId": 357159, "Quantity": 12}, {"SkuId": 484186, "Quantity": 10}],
                },
            }
        ),
        [
            ("16", "357159", "purchase", "2024-05-01 00:00:00", None, 12.0),
            ("16", "484186", "purchase", "2024-05-01 00:00:00", None, 10.0),
        ],
        options=said(
            columns={
                "user": "Order.customer.id",
                "time": "Order.at",
                "item": "Order.OrderLines[].SkuId",
                "quantity": "Order.OrderLines[].Quantity",
            }
        ),
    ),
    "a date and a clock in two columns": Case(  # the tills of Dunnhumby and of many markets
        "till.csv",
        "card,article_id,day,hhmm\n4,1,20240501,905\n4,2,20240501,1630\n",
        [
            ("4", "1", "purchase", "2024-05-01 07:05:00", None, None),
            ("4", "2", "purchase", "2024-05-01 14:30:00", None, None),
        ],
        options=said(columns={"user": "card", "time": "day,hhmm"}, zone=BERLIN),
    ),
    "a total below the rows is no event": Case(  # reports that a spreadsheet has closed
        "total.csv",
        "user_id,item_id,date,price\nu,i,2024-05-01,3\nTotal,,,3\n",
        [("u", "i", "purchase", "2024-05-01 00:00:00", 3.0, None)],
        {"no item": 1},
    ),
    "days of a spreadsheet are on the shop's clock": Case(  # exports of xlsx to CSV without formats
        "serial.csv",
        "user_id,item_id,date\nu,i,45413.5\n",
        [("u", "i", "purchase", "2024-05-01 10:00:00", None, None)],
        options=said(zone=BERLIN),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_read_for_what_it_means(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    path = tmp_path / case.file
    path.write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
    reading = Reading()
    found = open_source("table", [path], options=case.options).read(reading).interactions
    columns = ["user_id", "item_id", "event_type", "event_time", "value", "quantity"]
    rows = [
        (*row[:3], f"{utc(row[3]):%Y-%m-%d %H:%M:%S}", *(None if number != number else number for number in row[4:]))
        for row in found[columns].itertuples(index=False)
    ]
    assert rows == case.rows
    assert dict(reading.rejections.counts) == case.rejected


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("split.json", b'{"columns": ["user_id"], "index": [0], "data": [["u"]]}', "a table in pieces"),  # pandas
        ("mac.csv", b"user_id,item_id\ru,i\r", "end with CR alone"),  # active_admin_import#93
        ("twice.csv", b"user_id,item_id,item_id\nu,i,j\n", "two columns of one name"),  # apache/datafusion#24387
        ("blank.csv", b"\n\n\n", "an empty file"),
        (
            "mongo.json",
            b'[{"userId": "u", "sku": "i", "timestamp": {"$date": "x"}}]',
            "no cell of 'timestamp' is a time",
        ),
    ],
)
def test_a_file_that_cannot_be_understood_is_told_by_what_it_is(
    tmp_path: Path, file: str, content: bytes, reason: str
) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(UnreadableFile, match=reason) as error:
        open_source("table", [tmp_path / file], options=said())
    assert str(error.value).startswith(f"{tmp_path / file}: ")
