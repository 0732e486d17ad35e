from pathlib import Path

from sqlalchemy import Engine

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


def test_the_registry_names_champion_and_bundles(engine: Engine) -> None:
    source = ShopSource(engine, 10)
    assert source.wanted(now=0) is None
    register(engine, "m1", status="retired")
    register(engine, "m2")
    assert source.wanted(now=0) == Wanted("m2", Routing((), "m2"))
    assert source.bundle("m2") == Path("m2")
    assert source.bundle("m1") == Path("m1")
    assert source.bundle("m9") is None
