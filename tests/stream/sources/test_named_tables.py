"""Tables of the trade: by name, by recognition, and where the file's owner knows better."""

from pathlib import Path

import pytest

from sagestream.datasets import TRADE
from stream.events import EventType
from stream.sources.files.compressed import UnreadableFile
from stream.sources.named_tables import FAMILIES
from stream.sources.options import SourceOptions
from tests.stream.sources.published import read, seconds, write

HM = "t_dat,customer_id,article_id,price,sales_channel_id\n2018-09-20,000058a1,0663713001,0.0508,2\n"


def test_the_command_line_knows_the_names() -> None:
    assert set(TRADE) == set(FAMILIES)


def test_transactions_and_articles_of_hm(tmp_path: Path) -> None:
    articles = (
        "article_id,product_code,prod_name,product_type_name,product_group_name,department_name,index_name,detail_desc\n"
        "0663713001,0663713,Strap top,Vest top,Garment Upper body,Jersey Basic,Ladieswear,Jersey top.\n"
    )
    found = read("table", write(tmp_path / "t.csv", HM), write(tmp_path / "articles.csv", articles))
    assert found.forms == ["H&M transactions", "H&M articles"]
    assert found.told == [("000058a1", "0663713001", 0.0508, seconds(2018, 9, 20))]
    assert found.events[0].event_type == EventType.PURCHASE
    (item,) = found.items
    assert (item.item_id, item.title, item.product_id) == ("0663713001", "Strap top", "0663713")
    assert item.categories == ["Ladieswear", "Garment Upper body", "Jersey Basic", "Vest top"]


def test_lines_of_ta_feng_have_the_price_of_a_piece(tmp_path: Path) -> None:
    rows = (
        "TRANSACTION_DT,CUSTOMER_ID,AGE_GROUP,PIN_CODE,PRODUCT_SUBCLASS,PRODUCT_ID,AMOUNT,ASSET,SALES_PRICE\n"
        "11/1/2000,01104905,45-49,115,110411,4710199010372,2,24,30\n"
        "11/25/2000,00418683,45-49,115,120107,4710857472535,1,48,46\n"
    )
    found = read("ta-feng", write(tmp_path / "ta_feng.csv", rows))
    assert found.told == [
        ("01104905", "4710199010372", 15.0, seconds(2000, 11, 1)),
        ("00418683", "4710857472535", 46.0, seconds(2000, 11, 25)),
    ]
    assert [event.quantity for event in found.events] == [2, 1]
    assert [item.categories for item in found.items] == [["110411"], ["120107"]]


def test_a_file_of_another_form_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no file of olist: it has t_dat, customer_id"):
        read("olist", write(tmp_path / "t.csv", HM))


def test_named_columns_come_before_a_form(tmp_path: Path) -> None:
    options = SourceOptions({"user": "sales_channel_id"})
    found = read("table", write(tmp_path / "t.csv", HM), options=options)
    assert (found.forms, found.events[0].user_id) == (["a table"], "2")


def test_a_table_whose_files_were_joined_is_any_table(tmp_path: Path) -> None:
    header = "order_id,customer_id,order_status,order_purchase_timestamp,product_id,price\n"
    found = read("table", write(tmp_path / "t.csv", header + "o,c,delivered,2017-10-02 10:56:33,p,2\n"))
    assert (found.forms, found.told) == (["a table"], [("c", "p", 2.0, seconds(2017, 10, 2, 10, 56, 33))])


def test_columns_of_items_that_are_named_in_a_log_make_items(tmp_path: Path) -> None:
    log = write(
        tmp_path / "log.csv", "user,item,time,what,shelf\nu,i,1700000000,Tea,a > b\nu,i,1700000001,Tea bags,a\n"
    )
    assert read("table", log).items == []
    (item,) = read("table", log, options=SourceOptions({"title": "what", "category": "shelf"})).items
    assert (item.item_id, item.title, item.categories) == ("i", "Tea bags", ["a", "b"])


@pytest.mark.parametrize(
    ("header", "row", "event"),
    [
        ("USER_ID,PRODUCT_ID,TIMESTAMP,QUANTITY", "u,p,1607352000,2", ("u", "p", None, 1607352000)),
        ("CUSTOMER_ID,ITEM_ID,TIMESTAMP,PRICE", "u,p,1607352000,2", ("u", "p", 2.0, 1607352000)),
        (
            "order_id,user_id,product_id,add_to_cart_order,reordered,ts",
            "1,u,p,1,0,1607352000",
            ("u", "p", None, 1607352000),
        ),
    ],
)
def test_columns_that_only_look_like_a_form_are_those_of_any_table(
    tmp_path: Path, header: str, row: str, event: tuple[str, str, float | None, int]
) -> None:
    found = read("table", write(tmp_path / "t.csv", f"{header}\n{row}\n"))
    assert (found.forms, found.told) == (["a table"], [event])


@pytest.mark.parametrize(
    "header", ["product_id,product_category_name,name,price", "product_id,department_id,department,name,price"]
)
def test_a_catalogue_that_only_looks_like_a_form_keeps_its_titles_and_prices(tmp_path: Path, header: str) -> None:
    log = write(tmp_path / "log.csv", "user,item\nu,i\n")
    row = "i,drinks,Tea,2" if "category" in header else "i,1,drinks,Tea,2"
    (item,) = read("table", log, items=[write(tmp_path / "items.csv", f"{header}\n{row}\n")]).items
    assert (item.title, item.price, item.categories) == ("Tea", 2.0, ["drinks"])


def test_book_crossing_is_read_by_its_headers(tmp_path: Path) -> None:
    ratings = write(tmp_path / "BX-Book-Ratings.csv", '"User-ID";"ISBN";"Book-Rating"\n"276725";"034545104X";"7"\n')
    books = write(
        tmp_path / "BX-Books.csv",
        '"ISBN";"Book-Title";"Book-Author";"Image-URL-S"\n"034545104X";"First: A Book";"A A";"http://x/a.jpg"\n',
    )
    found = read("table", ratings, items=[books])
    assert [(e.event_type, e.user_id, e.item_id, e.value) for e in found.events] == [
        (EventType.RATING, "276725", "034545104X", 7.0)
    ]
    (item,) = found.items
    assert (item.title, item.brand, item.image_url) == ("First: A Book", "A A", "http://x/a.jpg")
