"""Olist: lines get the customer, the time and the state of their order."""

from pathlib import Path

from stream.events import EventType
from tests.stream.sources.published import read, seconds, write

ORDERS = (
    '"order_id","customer_id","order_status","order_purchase_timestamp","order_approved_at"\n'
    '"e481","9ef4","delivered","2017-10-02 10:56:33","2017-10-02 11:07:15"\n'
    '"53cd","b083","canceled","2018-07-24 20:41:37",""\n'
)
LINES = (
    '"order_id","order_item_id","product_id","seller_id","shipping_limit_date","price","freight_value"\n'
    '"e481",1,"87285b","3504","2017-10-06 11:07:15",29.99,8.72\n'
    '"53cd",1,"595fac","289c","2018-07-30 03:24:27",118.70,22.76\n'
    '"ffff",1,"595fac","289c","2018-07-30 03:24:27",118.70,22.76\n'
)
CUSTOMERS = (
    '"customer_id","customer_unique_id","customer_zip_code_prefix"\n"9ef4","person","01000"\n"b083","person","01000"\n'
)
PRODUCTS = '"product_id","product_category_name","product_name_lenght"\n"87285b","perfumaria",40\n"595fac","arte",10\n'
TRANSLATION = "product_category_name,product_category_name_english\nperfumaria,perfumery\n"


def test_a_folder_of_all_files(tmp_path: Path) -> None:
    for name, content in (
        ("olist_orders_dataset", ORDERS),
        ("olist_order_items_dataset", LINES),
        ("olist_customers_dataset", CUSTOMERS),
        ("olist_products_dataset", PRODUCTS),
        ("product_category_name_translation", TRANSLATION),
        ("olist_sellers_dataset", '"seller_id","seller_city"\n"3504","x"\n'),
    ):
        write(tmp_path / f"{name}.csv", content)
    found = read("olist", tmp_path)
    assert [(e.event_type, *told, e.order_id) for e, told in zip(found.events, found.told, strict=True)] == [
        (EventType.PURCHASE, "person", "87285b", 29.99, seconds(2017, 10, 2, 10, 56, 33), "e481"),
        (EventType.CANCEL, "person", "595fac", 118.7, seconds(2018, 7, 24, 20, 41, 37), "53cd"),
    ]
    assert found.reasons == [(4, "no order of this id in the file of orders")]
    assert [(item.item_id, item.categories) for item in found.items] == [
        ("87285b", ["perfumery"]),
        ("595fac", ["arte"]),
    ]
    assert found.passed_over == ["olist_sellers_dataset.csv"]
    assert read("table", tmp_path).events == found.events


def test_without_the_customers_it_is_said_that_nobody_comes_back(tmp_path: Path) -> None:
    lines, orders = write(tmp_path / "lines.csv", LINES), write(tmp_path / "orders.csv", ORDERS)
    found = read("table", lines, orders)
    assert [event.user_id for event in found.events] == ["9ef4", "b083"]
    assert "another one for each order" in found.understood[0].columns["user"]
