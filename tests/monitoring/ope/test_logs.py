"""Which shown lists count, with which rewards."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from graphstore.session import read, write
from graphstore.upserts import ImpressionRow, SeenRow, insert_impressions, insert_seen
from monitoring.ope import logs
from monitoring.ope.estimators import NoSupport
from monitoring.ope.logs import Selection, shares_of_new_items, shown_lists
from serving.exploration import NEW
from serving.routing import Exploration
from tests.monitoring.conftest import Shop
from tests.monitoring.ope.shop_log import NOON, VARIANT, fill, record_experiment

DAY = Selection(NOON, NOON + 86_400_000, positions=2)


def test_lists_come_with_propensities_and_rewards(engine: Engine) -> None:
    fill(engine, shoppers=40, visits=2)
    fill(engine, shoppers=40, visits=2, how=Exploration(), variant="champion")
    with read(engine) as connection:
        lists = shown_lists(connection, DAY)
        first = shown_lists(connection, replace(DAY, positions=1))
        nobody_bought = shown_lists(connection, replace(DAY, reward="purchase"))
    assert len(lists) == 80
    assert {one.variant for one in lists} == {VARIANT}  # what did not explore is left out
    assert [one.event_time for one in lists] == sorted(one.event_time for one in lists)
    assert all(len(one.items) == 2 for one in lists)
    assert all(len(one.items) == 1 for one in first)
    items = [item for one in lists for item in one.items]
    assert {item.source for item in items if item.item_id in "xy"} == {NEW}
    assert all(0 < item.propensity < 1 for item in items)
    assert 0.2 < sum(item.reward for item in items) / len(items) < 0.5
    assert not sum(item.reward for one in nobody_bought for item in one.items)


def test_a_selection_narrows(sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(sqlite_engine, shoppers=20, visits=2)
    with read(sqlite_engine) as connection:
        for nothing in ({"slot": "cart"}, {"variant": "champion"}, {"start": NOON + 3000}):
            with pytest.raises(NoSupport, match="every propensity is 1"):
                shown_lists(connection, replace(DAY, **nothing))
        assert len(shown_lists(connection, replace(DAY, slot="home", variant=VARIANT, end=NOON + 1000))) == 20
        monkeypatch.setattr(logs, "MOST_LISTS", 7)
        newest = shown_lists(connection, DAY)
    assert [one.event_time for one in newest] == [NOON + 1000 + shopper for shopper in range(13, 20)]


def test_lists_that_did_not_explore_are_refused(sqlite_shop: Shop) -> None:
    sqlite_shop.serve("r1", ["a", "b"], time=NOON)
    with read(sqlite_shop.engine) as connection, pytest.raises(NoSupport, match="sagestream experiments start"):
        shown_lists(connection, DAY)


def test_the_logged_share_of_new_items_comes_from_the_experiment(engine: Engine) -> None:
    record_experiment(engine)
    with read(engine) as connection:
        assert shares_of_new_items(connection, [VARIANT, "champion"]) == {VARIANT: 0.2}


def test_lists_that_nobody_saw_and_lists_of_robots_do_not_count(sqlite_shop: Shop) -> None:
    def serve(request: str, *, confirmed: bool = False, robot: bool = False) -> None:
        rows = [
            ImpressionRow(request, place, "u1", item, "home", NOON, "m1", VARIANT, 1.0, 0.5, "batch", confirmed, robot)
            for place, item in enumerate("ab")
        ]
        with write(sqlite_shop.engine) as connection:
            insert_impressions(connection, rows)

    serve("vouched", confirmed=True)
    serve("robot", confirmed=True, robot=True)
    for name in ("seen", "named", "fetched"):
        serve(name)
    with write(sqlite_shop.engine) as connection:
        insert_seen(connection, [SeenRow("seen", 1, "u1", NOON)])
    sqlite_shop.act("click", "a", "named", time=NOON + 1)
    sqlite_shop.attribute()
    with read(sqlite_shop.engine) as connection:
        found = shown_lists(connection, DAY)
    assert [[item.reward for item in one.items] for one in found] == [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
