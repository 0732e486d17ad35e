"""WooCommerce's products: paths of categories, the price of the sale, variations of a parent."""

from pathlib import Path

from stream.sources.options import SourceOptions
from tests.stream.sources.published import read, write

PRODUCTS = (
    'ID,Type,SKU,Name,Published,"Is featured?","Visibility in catalog","In stock?",Stock,"Sale price","Regular price",'
    "Categories,Tags,Images,Parent\n"
    '93,simple,TEA-1,Green tea,1,0,visible,1,12,,10.00,"Drinks, Drinks > Tea",x,"https://s/tea.jpg, https://s/2.jpg",\n'
    '94,simple,CUP-1,Cup,1,0,visible,0,0,8,10.00,"Kitchen\\, old > Cups",,,\n'
    "95,variation,TEA-2,Green tea - big,1,0,visible,backorder,,,15.00,,,,id:93\n"
    "96,simple,,Draft,-1,0,visible,1,,,1.00,,,,\n"
)


def test_items_of_the_export(tmp_path: Path) -> None:
    found = read("table", write(tmp_path / "products.csv", PRODUCTS))
    assert found.forms == ["WooCommerce products"]
    assert [(i.item_id, i.title, i.price, i.available, i.stock, i.product_id) for i in found.items] == [
        ("93", "Green tea", 10.0, True, 12, None),
        ("94", "Cup", 8.0, False, 0, None),
        ("95", "Green tea - big", 15.0, True, None, "93"),
        ("96", "Draft", 1.0, False, None, None),
    ]
    assert [i.categories for i in found.items] == [["Drinks", "Tea"], ["Kitchen, old", "Cups"], [], []]
    assert found.items[0].image_url == "https://s/tea.jpg"


def test_the_item_may_be_another_column(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "user,SKU\nu,TEA-1\n")
    items = write(tmp_path / "products.csv", PRODUCTS)
    found = read("table", log, items=[items], options=SourceOptions({"item": "SKU"}))
    assert [item.item_id for item in found.items] == ["TEA-1", "CUP-1", "TEA-2"]
    assert [reason for _, reason in found.reasons] == ["no item"]
