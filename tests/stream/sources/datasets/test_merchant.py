"""Merchant feeds: the same items in TSV and in XML, with any spelling of the attributes."""

from pathlib import Path

import pytest

from stream.sources.formats import columns
from tests.stream.sources.published import read, write

TSV = (
    "id\ttitle\tdescription\tlink\timage_link\tavailability\tprice\tbrand\tgoogle_product_category\tproduct_type\t"
    "item_group_id\n"
    "TEA-1\tGreen tea\tGood\thttps://s/tea\thttps://s/tea.jpg\tin_stock\t10.00 EUR\tLeaf\tFood > Tea\t"
    "Drinks > Tea > Green\tTEA\n"
    "TEA-2\tGreen tea 250\tGood\thttps://s/tea2\t\tout_of_stock\t20.00 EUR\tLeaf\t"
    "Food, Beverages & Tobacco > Beverages\t\tTEA\n"
    "CUP-1\tCup\tGood\thttps://s/cup\t\tpreorder\t9,50 EUR\t\t2169\t\t\n"
)
EXPECTED = [
    ("TEA-1", "Green tea", 10.0, True, ["Drinks", "Tea", "Green"], "TEA", "https://s/tea", "https://s/tea.jpg"),
    ("TEA-2", "Green tea 250", 20.0, False, ["Food, Beverages & Tobacco", "Beverages"], "TEA", "https://s/tea2", ""),
    ("CUP-1", "Cup", 9.5, True, [], None, "https://s/cup", ""),
]


def rss(lines: str) -> str:
    """The feed as RSS."""
    names, *rows = [line.split("\t") for line in lines.splitlines()]
    escaped = [[cell.replace("&", "&amp;").replace(">", "&gt;") for cell in row] for row in rows]
    items = "".join(
        "<item>" + "".join(f"<g:{n}>{c}</g:{n}>" for n, c in zip(names, row, strict=True) if c) + "</item>\n"
        for row in escaped
    )
    return (
        '<?xml version="1.0"?>\n<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel>'
        f"<title>Shop</title><link>https://s</link>{items}</channel></rss>\n"
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("feed.tsv", TSV),
        ("feed.txt", TSV.replace("image_link", "image link").replace("in_stock", "in stock")),
        ("feed.csv", TSV.replace(",", ";").replace("\t", ",").replace("9;50", "9.50").replace(";", ",")),
        ("feed.xml", rss(TSV)),
    ],
)
def test_items_of_a_feed(tmp_path: Path, name: str, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "feed.csv":  # the name with a comma needs quotes
        content = content.replace("Food, Beverages & Tobacco > Beverages", '"Food, Beverages & Tobacco > Beverages"')
    monkeypatch.setattr(columns, "BLOCK_ROWS", 2)
    found = read("table", write(tmp_path / name, content))
    assert found.forms == ["Google Merchant feed"]
    assert [
        (i.item_id, i.title, i.price, i.available, i.categories, i.product_id, i.url, i.image_url) for i in found.items
    ] == EXPECTED
    assert found.items[0].brand == "Leaf"


def test_a_feed_is_a_file_of_items_of_any_table(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "user_id,item_id\nu,TEA-1\n")
    assert [i.item_id for i in read("table", log, items=[write(tmp_path / "f.tsv", TSV)]).items] == [
        "TEA-1",
        "TEA-2",
        "CUP-1",
    ]
