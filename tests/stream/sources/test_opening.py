"""Sources by name; of a table's files, which hold interactions and which items."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagestream.datasets import SOURCES
from stream.events import decode, encode, utc
from stream.sources.files.compressed import UnreadableFile
from stream.sources.formats.columns import LATEST_MS
from stream.sources.opening import COMPLETE_JOURNEY, NAMES, open_source, read_catalogue
from stream.sources.options import Layout, SourceOptions
from stream.sources.source import Reading
from tests.stream.sources.published import read, seconds, write


def test_the_command_line_knows_the_same_names() -> None:
    assert set(SOURCES) == set(NAMES)


def test_a_later_file_without_users_holds_items(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "user,item\nu,i\n")
    items = write(tmp_path / "items.csv", "item,title\ni,t\n")
    found = read("table", log, items)
    assert (len(found.events), [item.title for item in found.items]) == (1, ["t"])
    assert read("table", log, items=[items]).items == found.items


def test_a_first_file_without_users_is_a_mistake(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "buyer,item,price\nu,i,1\n")
    with pytest.raises(UnreadableFile, match=r"log\.csv: no column for user: the file has buyer, item, price"):
        open_source("table", [path])
    source = open_source("table", [path], options=SourceOptions({"user": "buyer"}))
    assert [part.form for part in source.parts] == ["a table"]


def test_items_in_the_source_s_own_form_or_in_any(tmp_path: Path) -> None:
    log = write(tmp_path / "ratings.dat", "1::12::5::978300760\n")
    own = write(tmp_path / "movies.dat", "12::Alien::Sci-Fi\n")
    other = write(tmp_path / "more.csv", "sku,name\n12,Alien\n")
    found = read("movielens", log, items=[own, other])
    assert found.forms == ["MovieLens movies.dat", "items", "MovieLens ratings.dat"]
    assert [item.title for item in found.items] == ["Alien", "Alien"]


def test_the_package_takes_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="takes no file"):
        open_source("complete-journey", [tmp_path])


SEEDS = (
    b'user,item,timestamp,rating\nu,"i, ""x""",1393545600,5\nv,j,2014-02-28,NaN\n',
    b"A3EBHHCZO6V2A4,5555991584,5.0,978480000\n" * 3,
    b'{"user_id": "u", "parent_asin": "i", "rating": 5.0, "timestamp": 1588687728923, "title": "t"}\n' * 2,
    b"{'asin': '1', 'title': 'x', 'categories': [['a', 'b']]}\n",
    b'{"0": [1, 2, 3], "1": [4]}',
    b"1::1193::5::978300760\n",
    b"1|Toy|01-Jan-1995||http://x|" + b"|".join([b"1"] * 19) + b"\n",
    b"Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID\nC1,85048,X,-1,2009-12-01,2.5,13085.0\n",
    b"timestamp,itemid,property,value\n1435460400000,460429,categoryid,1016\n",
    b"categoryid,parentid\n1,2\n",
    b"Name,Email,Created at,Lineitem quantity,Lineitem sku\n#1,a@b,2024-01-02 10:00:00 +0100,1,T\n#1,,,2,C\n",
    b"Handle,Title,Variant SKU,Variant Price,Image Src\ntea,Tea,T,1,/x.jpg\ntea,,U,2,\n",
    b"<?xml version='1.0'?><rss><channel><item><id>1</id><title>t</title><link>/a</link>"
    b"<availability>in stock</availability></item></channel></rss>",
    b"ID,Type,SKU,Name,Regular price,Categories\n1,simple,s,n,2,a > b\n",
    b"1,2268318,2520377,pv,1511544070\n",
    b"1,2014-04-07T10:51:09.277Z,214536502,12\n",
    b"USER_ID,AGE\n35,30\n",
    b"feedback_type,user_id,item_id,value,time_stamp\nstar,50,10,0,2020-11-20 10:00:00\n",
    b"event_time,event_type,product_id,category_code,brand,price,user_id\n2019-10-01 00:00:00 UTC,view,4,a.b,x,3.7,5\n",
    b"TRANSACTION_DT,CUSTOMER_ID,PRODUCT_SUBCLASS,PRODUCT_ID,AMOUNT,SALES_PRICE\n11/1/2000,1,2,3,2,30\n",
    b"product_id,product_category_name\n1,a\n",
)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A published form with some bytes put in, taken out or written over."""
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(content)))
        end = min(begin + draw(st.integers(0, 6)), len(content))
        content[begin:end] = draw(
            st.one_of(
                st.binary(max_size=4),
                st.sampled_from([b'"', b"\n", b"\r", b",", b"{", b"]", b"\0", b"\xff", b"'", b"::"]),
            )
        )
    return gzip.compress(bytes(content))[: draw(st.integers(1, 400))] if draw(st.booleans()) else bytes(content)


@given(
    broken(),
    st.sampled_from(sorted({*NAMES} - {COMPLETE_JOURNEY})),
    st.sampled_from(["f.csv", "f.json", "u.item", "f.parquet"]),
)
@settings(max_examples=150)
def test_whatever_the_bytes_are_there_are_events_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str, file: str
) -> None:
    path = tmp_path_factory.mktemp("broken") / file
    path.write_bytes(content)
    try:
        found = read(name, path)
    except UnreadableFile as error:
        assert str(path) in str(error)
        return
    for event in [*found.events, *found.items]:
        assert decode(encode(event), type(event), now=utc(LATEST_MS)) == event


def test_a_catalogue_is_read_in_its_own_form(tmp_path: Path) -> None:
    feed = write(tmp_path / "feed.tsv", "id\ttitle\tlink\tavailability\ni\tTea\t/tea\tout of stock\nj\tCup\t/cup\t\n")
    items, rejected = read_catalogue(feed)
    assert [(item.item_id, item.title, item.available) for item in items] == [("i", "Tea", False), ("j", "Cup", True)]
    assert rejected == {}
    plain = write(tmp_path / "items.csv", "item,title\ni,Tea\n,x\n")
    assert read_catalogue(plain)[1] == {"no item": 1}


def test_items_are_read_by_the_named_column_and_encoding(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "user,code\nu,i\n")
    items = write(tmp_path / "items.csv", "code,title\ni,caffè\n", "latin-1")
    known = write(tmp_path / "known.csv", "sku,title\ni,tea\n")
    options = SourceOptions({"item": "code"}, Layout(encoding="latin-1"))
    for source in (
        open_source("table", [log, items], options=options),
        open_source("table", [log], items=[items], options=options),
    ):
        assert [(item.item_id, item.title) for item in source.read(Reading()).items] == [("i", "caffè")]
    assert open_source("table", [log], items=[known], options=options).read(Reading()).items[0].title == "tea"


def test_the_names_of_columns_are_those_of_the_interactions(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "u,i\n")
    items = write(tmp_path / "items.csv", "item,title\ni,tea\n")
    source = open_source("table", [log], items=[items], options=SourceOptions(layout=Layout(["user", "item"])))
    table = source.read(Reading())
    assert (len(table), [item.title for item in table.items]) == (1, ["tea"])


def test_of_a_table_the_day_may_come_first(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "user,item,date\nu,i,01/12/2010\nu,i,13/12/2010\n")
    assert read("table", log).reasons == [(3, "day or month first?")]
    table = open_source("table", [log], options=SourceOptions(day_first=True)).read(Reading())
    assert [time // 1000 for time in table.interactions["event_time"]] == [
        seconds(2010, 12, 1),
        seconds(2010, 12, 13),
    ]
