from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from graphstore.session import write
from graphstore.tables import items, users
from serving import source as source_module
from serving.routing import Routing
from serving.routing_source import Wanted
from serving.source import ShopSource
from tests.serving.toy import register, touch

HOUR_MS = 3_600_000


def test_histories_in_the_order_asked_and_bounded(engine: Engine) -> None:
    for time, item in enumerate(["apple", "bread", "cheese"], start=1):
        touch(engine, "ann", item, time)
    touch(engine, "bob", "dates", 9)
    source = ShopSource(engine, history_limit=2)
    users = {name: key for key, name in source.users()}
    items = {item.item_id: item.item_key for item in source.items()}
    ann = [(items["bread"], 2, 0), (items["cheese"], 3, 0)]
    bob = [(items["dates"], 9, 0)]
    assert source.histories([users["bob"], users["ann"]]) == [bob, ann]
    assert source.histories_of(["ann", "nobody", "bob"]) == {"ann": ann, "bob": bob}
    assert source.histories_of(["nobody"]) == {}


def test_counts_from_an_hour_on(engine: Engine) -> None:
    touch(engine, "ann", "apple", HOUR_MS)
    touch(engine, "bob", "apple", 3 * HOUR_MS)
    touch(engine, "cyd", "apple", 3 * HOUR_MS + 5)
    hours, _, counts = ShopSource(engine, 10).bucket_counts(2 * HOUR_MS)
    assert (hours.tolist(), counts.tolist()) == ([3], [2])


def test_the_stock_of_all_items_and_the_items_that_came_later(engine: Engine) -> None:
    for name in ("apple", "bread", "cheese", "dates"):
        touch(engine, "ann", name, 1)
    for name, values in (("apple", {"stock": 0}), ("bread", {"stock": 2}), ("cheese", {"available": False})):
        with write(engine) as connection:
            connection.execute(update(items).where(items.c.item_id == name).values(values))
    source = ShopSource(engine, 10)
    keys, for_sale = source.stock()
    names = [item.item_id for item in source.items_by_key(keys.tolist())]
    assert sorted(names) == ["apple", "bread", "cheese", "dates"]
    by_key = {item.item_key: item for item in source.items()}
    assert [by_key[key].available for key in keys.tolist()] == for_sale.tolist()
    assert {by_key[key].item_id for key in keys[for_sale].tolist()} == {"bread", "dates"}
    assert [item.item_key for item in source.items_after(int(keys[1]))] == keys[2:].tolist()
    assert [item.item_id for item in source.items_by_id(["bread", "nothing"])] == ["bread"]


def test_an_empty_shop_has_an_empty_stock(engine: Engine) -> None:
    keys, for_sale = ShopSource(engine, 10).stock()
    assert (len(keys), len(for_sale)) == (0, 0)


def test_the_neighbourhood_is_of_the_newest_shoppers_with_their_sessions(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for time, (user, item) in enumerate(
        [("ann", "apple"), ("ann", "figs"), ("bob", "figs"), ("bob", "bread"), ("cyd", "bread"), ("tab", "figs")]
    ):
        touch(engine, user, item, HOUR_MS + time)
    source = ShopSource(engine, 10)
    keys = {item.item_id: item.item_key for item in source.items()}
    people = {name: key for key, name in source.users()}
    with write(engine) as connection:  # the session belongs to ann
        connection.execute(update(users).where(users.c.user_id == "tab").values(person_key=people["ann"]))

    def of(*names: str, since: int = HOUR_MS) -> list[list[int]]:
        found = source.neighbourhood([keys[name] for name in names], since)
        return [[key for key, *_ in history] for history in found]

    ann, bob = [keys["apple"], keys["figs"], keys["figs"]], [keys["figs"], keys["bread"]]
    assert of("figs") == [ann, bob]
    assert of("figs", since=HOUR_MS + 3) == [ann]
    assert of() == []
    monkeypatch.setattr(source_module, "NEIGHBOURHOOD_SHOPPERS", 1)
    assert of("figs") == [ann]
    monkeypatch.setattr(source_module, "NEIGHBOURHOOD_HISTORY", 2)
    assert of("figs") == [ann[1:]]


def test_the_registry_names_champion_and_bundles(engine: Engine) -> None:
    source = ShopSource(engine, 10)
    assert source.wanted(now=0) is None
    register(engine, "m1", status="retired")
    register(engine, "m2")
    assert source.wanted(now=0) == Wanted("m2", Routing((), "m2"))
    assert source.bundle("m2") == Path("m2")
    assert source.bundle("m1") == Path("m1")
    assert source.bundle("m9") is None
