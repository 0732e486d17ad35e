"""The folder of a heterogeneous network: ratings, brands and categories put together."""

from pathlib import Path

from stream.sources.files.compressed import changed_at
from tests.stream.sources.published import read, write


def test_ratings_brands_and_categories(tmp_path: Path) -> None:
    write(tmp_path / "user_item.dat", "2836\t2645\t5\t1386201600\n28\t2645\t4\t1387670400\n")
    write(tmp_path / "item_brand.dat", "2645,12\n7,3\n")
    write(tmp_path / "item_category.dat", "2645,0\n2645,1\n,4\n7,\n")
    write(tmp_path / "item_view.dat", "2645,0\n")
    found = read("amazon", tmp_path)
    assert found.told == [("2836", "2645", 5.0, 1386201600), ("28", "2645", 4.0, 1387670400)]
    assert [(item.item_id, item.brand, item.categories) for item in found.items] == [
        ("2645", "12", ["0", "1"]),
        ("7", "3", []),
    ]
    written = changed_at(tmp_path / "item_brand.dat", tmp_path / "item_category.dat")
    assert {item.event_time for item in found.items} == {written}
    assert found.reasons == [(3, "no item"), (4, "no name")]
    assert found.passed_over == ["item_view.dat"]
