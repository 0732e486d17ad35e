"""Shopify's exports: what stands in the first row of an order or a product counts for its other rows."""

from pathlib import Path

import pytest

from stream.events import EventType
from stream.sources.formats import columns
from tests.stream.sources.published import read, seconds, write

ORDERS = (
    "Name,Email,Financial Status,Paid at,Fulfillment Status,Currency,Subtotal,Total,Created at,Lineitem quantity,"
    "Lineitem name,Lineitem price,Lineitem sku,Cancelled at,Vendor,Id\n"
    "#1001,a@example.com,paid,2024-01-02 10:00:00 +0100,fulfilled,EUR,30.00,35.00,2024-01-02 09:59:00 +0100,1,Tea,"
    "10.00,TEA-1,,Leaf,11\n"
    "#1001,a@example.com,,,,,,,2024-01-02 09:59:00 +0100,2,Cup,9.50,CUP-1,,Leaf,\n"
    "#1002,,paid,,,EUR,10.00,10.00,2024-01-03 09:59:00 +0100,1,Tea,10.00,TEA-1,,Leaf,12\n"
    "#1002,,,,,,,,,1,Cup,10.00,CUP-1,,Leaf,\n"
    "#1003,b@example.com,refunded,,,USD,10.00,10.00,2024-01-04 00:00:00 +0000,1,Tea,10.00,TEA-1,,Leaf,13\n"
    "#1003,,,,,,,,,3,Cup,10.00,CUP-1,,Leaf,\n"
    "#1004,b@example.com,paid,,,USD,10.00,10.00,2024-01-05 00:00:00 +0000,1,Tea,10.00,TEA-1,"
    "2024-01-06 00:00:00 +0000,,\n"
    "#1005,c@example.com,paid,,,USD,10.00,10.00,2024-01-07 00:00:00 +0000,1,A tip,10.00,,,,\n"
)


def test_lines_have_the_shopper_the_state_and_the_time_of_their_order(tmp_path: Path) -> None:
    found = read("table", write(tmp_path / "orders.csv", ORDERS))
    assert found.forms == ["Shopify orders"]
    assert [
        (e.event_type, e.user_id, e.item_id, e.quantity, e.value, e.order_id, e.currency) for e in found.events
    ] == [
        (EventType.PURCHASE, "a@example.com", "TEA-1", 1, 10.0, "#1001", "EUR"),
        (EventType.PURCHASE, "a@example.com", "CUP-1", 2, 9.5, "#1001", "EUR"),
        (EventType.RETURN, "b@example.com", "TEA-1", 1, 10.0, "#1003", "USD"),
        (EventType.RETURN, "b@example.com", "CUP-1", 3, 10.0, "#1003", "USD"),
        (EventType.CANCEL, "b@example.com", "TEA-1", 1, 10.0, "#1004", "USD"),
    ]
    assert [time for *_, time in found.told] == [
        seconds(2024, 1, 2, 8, 59),
        seconds(2024, 1, 2, 8, 59),
        seconds(2024, 1, 4),
        seconds(2024, 1, 4),
        seconds(2024, 1, 5),
    ]
    guest = "no user: an order without an e-mail address"
    assert found.reasons == [(4, guest), (5, guest), (9, "no item")]


def test_an_order_goes_on_in_the_next_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "orders.csv", ORDERS)
    whole = read("table", path)
    monkeypatch.setattr(columns, "BLOCK_ROWS", 1)
    assert read("table", path).events == whole.events


PRODUCTS = (
    "Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,"
    "Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Price,Image Src,Variant Image,"
    "Status\n"
    'tea,Green tea,<p>x</p>,Leaf,Food > Tea,Tea,"green, hot",true,Size,100 g,TEA-1,shopify,5,deny,10.00,https://c/x.jpg,,'
    "active\n"
    "tea,,,,,,,,,250 g,TEA-2,shopify,-2,deny,20.00,https://c/y.jpg,,\n"
    "tea,,,,,,,,,500 g,TEA-3,shopify,0,continue,30.00,,https://c/z.jpg,\n"
    "tea,,,,,,,,,,,,,,,https://c/more.jpg,,\n"
    "cup,Cup,,Mug Co,,Cups,,true,Title,Default Title,CUP-1,,7,deny,4.00,,,draft\n"
)


def test_each_variant_is_an_item_of_the_product(tmp_path: Path) -> None:
    found = read("shopify", write(tmp_path / "products.csv", PRODUCTS))
    assert [(i.item_id, i.title, i.brand, i.categories, i.price, i.product_id) for i in found.items] == [
        ("TEA-1", "Green tea", "Leaf", ["Food", "Tea"], 10.0, "tea"),
        ("TEA-2", "Green tea", "Leaf", ["Food", "Tea"], 20.0, "tea"),
        ("TEA-3", "Green tea", "Leaf", ["Food", "Tea"], 30.0, "tea"),
        ("CUP-1", "Cup", "Mug Co", ["Cups"], 4.0, "cup"),
    ]
    # What is sold below zero, and what has no tracker, is not counted.
    assert [(i.stock, i.available) for i in found.items] == [(5, True), (0, True), (None, True), (None, False)]
    assert [i.image_url for i in found.items] == ["https://c/x.jpg", "https://c/x.jpg", "https://c/z.jpg", ""]
    assert found.rejected == []  # a row with a picture alone is no error
