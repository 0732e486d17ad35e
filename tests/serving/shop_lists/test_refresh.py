"""The shop lists from SQL to a reader: fresh within a minute, and late at most where something is away or dies."""

import logging
import threading
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, event

from graphstore.tables import HOUR_MS
from serving.cache import ItemReader
from serving.shop_lists import assortment, refresh
from serving.shop_lists.lists import CATEGORIES, TOGETHER
from serving.shop_lists.reader import ShopLists
from serving.shop_lists.refresh import COUNTS_SECONDS, HABITS_SECONDS, RETRY_SECONDS, ShopListsRefresh, ShopListsWriter
from serving.shop_lists.repurchase import DAY_MS
from stream.events import CatalogItem, EventType, Interaction, utc
from stream.worker.sink import Sink

NOW = 1_767_614_400_000 + HOUR_MS // 2


class Shop:
    """A shop with tea, a cup and bread, its writer and a reader without a memory."""

    def __init__(self, engine: Engine, redis: Redis) -> None:
        self.redis = redis
        self.sink = Sink(engine, redis)
        self.writer = ShopListsWriter(engine, redis)
        self.lists = ShopLists(redis, seconds=-1.0)
        self.items = ItemReader(redis, change_seconds=0.0)
        for name, categories in (("tea", ["Drinks", "Hot", "Drinks"]), ("cup", ["Kitchen"]), ("bread", ["Bakery", ""])):
            self.put(name, categories)

    def put(self, name: str, categories: list[str], *, stock: int | None = None, time: int = NOW - 30 * DAY_MS) -> None:
        item = CatalogItem(item_id=name, title=name, categories=categories, stock=stock, event_time=utc(time))
        self.sink.store_items([item], now=NOW)

    def happens(self, kind: EventType, item: str, time: int, *users: str, order: str | None = None) -> None:
        events = [
            Interaction(
                event_id=f"{kind}{user}{item}{time}",
                event_type=kind,
                user_id=user,
                item_id=item,
                event_time=utc(time),
                order_id=None if order is None else f"{order}-{user}",
            )
            for user in users
        ]
        self.sink.store_interactions(events, now=NOW)

    def best(self, window: str, category: str | None = None) -> list[tuple[str, int]]:
        return self.named(self.lists.best(window, category))

    def named(self, entries: list[Any]) -> list[tuple[str, int]]:
        found = self.items.by_key([entry.item_key for entry in entries])
        return [(item.item_id, entry.number) for item, entry in zip(found, entries, strict=True) if item]


@pytest.fixture
def shop(engine: Engine, redis: Redis) -> Shop:
    return Shop(engine, redis)


def test_best_sellers_by_window_and_category(shop: Shop) -> None:
    shop.happens(EventType.PURCHASE, "tea", NOW, "a", "b", "c")
    shop.happens(EventType.RETURN, "tea", NOW + 1, "c")
    shop.happens(EventType.PURCHASE, "bread", NOW - 3 * HOUR_MS, "a", "b", "c")
    shop.happens(EventType.PURCHASE, "cup", NOW - 4 * DAY_MS, "a")
    shop.happens(EventType.VIEW, "cup", NOW, "a", "b", "c", "d")
    assert shop.writer.write_counts(now=NOW)
    assert shop.best("1h") == [("tea", 2)]
    assert shop.best("24h") == [("bread", 3), ("tea", 2)]
    assert shop.best("7d") == [("bread", 3), ("tea", 2), ("cup", 1)]
    assert shop.best("7d", "Drinks") == shop.best("7d", "Hot") == [("tea", 2)]
    assert shop.best("7d", "Unknown") == []
    assert sorted(shop.lists.categories()) == [("Bakery", 1), ("Drinks", 1), ("Hot", 1), ("Kitchen", 1)]


def test_a_shop_with_a_category_for_each_item_gets_lists_of_the_largest_ones(
    shop: Shop, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assortment, "MAX_CATEGORIES", 2)
    shop.put("mug", ["Kitchen", "Mug 17"])
    shop.happens(EventType.PURCHASE, "mug", NOW, "a", "b")
    shop.happens(EventType.PURCHASE, "cup", NOW, "a")
    shop.happens(EventType.PURCHASE, "bread", NOW, "a")
    shop.writer.write_counts(now=NOW)
    assert shop.lists.categories() == [("Kitchen", 2), ("Drinks", 1)]
    assert shop.best("1h", "Kitchen") == [("mug", 2), ("cup", 1)]
    assert shop.best("1h", "Mug 17") == shop.best("1h", "Bakery") == []
    assert shop.best("1h") == [("mug", 2), ("cup", 1), ("bread", 1)]


def test_windows_move_and_late_events_are_found(shop: Shop) -> None:
    shop.happens(EventType.PURCHASE, "tea", NOW, "a")
    shop.writer.write_counts(now=NOW)
    assert not shop.writer.write_counts(now=NOW + 1000)  # nothing has happened
    shop.writer.write_counts(now=NOW + HOUR_MS)
    assert shop.best("1h") == []
    assert shop.best("24h") == [("tea", 1)]
    shop.happens(EventType.PURCHASE, "tea", NOW - 5 * HOUR_MS, "late")
    shop.writer.write_counts(now=NOW + HOUR_MS + 1000)
    assert shop.best("24h") == [("tea", 1)]  # the older hours are read again later
    shop.happens(EventType.PURCHASE, "cup", NOW + HOUR_MS, "now")
    shop.writer.write_counts(now=NOW + HOUR_MS + 1000 * 600)
    assert shop.best("24h") == [("tea", 2), ("cup", 1)]


def test_what_rises_is_not_what_always_sells(shop: Shop) -> None:
    crowd = [f"u{n}" for n in range(40)]
    for day in range(1, 8):
        shop.happens(EventType.VIEW, "bread", NOW - day * DAY_MS, *crowd)
        shop.happens(EventType.VIEW, "cup", NOW - day * DAY_MS, *crowd[:2])
    shop.happens(EventType.VIEW, "bread", NOW, *crowd)
    shop.happens(EventType.VIEW, "cup", NOW, *crowd[:12])
    shop.writer.write_counts(now=NOW)
    assert shop.named(shop.lists.rising("24h")) == [("cup", 12)]
    assert shop.named(shop.lists.rising("24h", "Kitchen")) == [("cup", 12)]
    assert shop.lists.rising("24h", "Bakery") == []


def test_a_sell_out_leaves_the_lists_and_readers_know_it_at_once(shop: Shop) -> None:
    shop.happens(EventType.PURCHASE, "tea", NOW, "a")
    shop.writer.write_counts(now=NOW)
    (entry,) = shop.lists.best("24h")
    shop.put("tea", ["Drinks"], stock=0, time=NOW)
    (item,) = shop.items.by_key([entry.item_key])
    assert item and not item.available
    assert shop.writer.write_counts(now=NOW)
    assert shop.lists.best("24h") == []
    assert sorted(shop.lists.categories()) == [("Bakery", 1), ("Kitchen", 1)]


def test_what_goes_together_and_when_it_is_due(shop: Shop) -> None:
    crowd = [f"u{n}" for n in range(20)]
    for day in (0, 7, 14):
        shop.happens(EventType.PURCHASE, "tea", NOW - day * DAY_MS, *crowd[:14], order=f"o{day}")
        shop.happens(EventType.PURCHASE, "cup", NOW - day * DAY_MS + 5 * HOUR_MS, *crowd[:14], order=f"o{day}")
        shop.happens(EventType.PURCHASE, "bread", NOW - day * DAY_MS + 9 * HOUR_MS, *crowd)
    shop.writer.write_habits()
    together, alone = shop.lists.together(["tea", "bread"])
    assert shop.named(together) == [("cup", 14)]
    assert alone == []
    assert shop.lists.repurchase() == {"Drinks": 7.0, "Hot": 7.0, "Kitchen": 7.0, "Bakery": 7.0}


def test_a_flushed_redis_is_filled_again_and_an_empty_shop_has_nothing(shop: Shop) -> None:
    shop.happens(EventType.PURCHASE, "tea", NOW, "a")
    shop.writer.write_counts(now=NOW)
    shop.redis.flushall()
    assert shop.writer.write_counts(now=NOW)
    assert shop.redis.exists("best:24h", CATEGORIES) == 2
    shop.writer.write_habits()
    assert not shop.redis.exists(TOGETHER)


class Steps:
    """A writer that counts its steps and may fail."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.error: Exception | None = None

    def write_counts(self, *, now: int) -> bool:
        return self.step("counts")

    def write_habits(self) -> None:
        self.step("habits")

    def step(self, name: str) -> bool:
        if self.error is not None:
            raise self.error
        self.done.append(name)
        return True


def test_each_step_has_its_time_and_a_failed_one_comes_again_soon(caplog: pytest.LogCaptureFixture) -> None:
    steps, clock, stop = Steps(), [0.0], threading.Event()
    thread = ShopListsRefresh(steps, stop, now=lambda: NOW, clock=lambda: clock[0])  # type: ignore[arg-type]

    def at(second: float) -> list[str]:
        steps.done = []
        clock[0] = second
        thread.tick()
        return steps.done

    assert at(0.0) == ["counts", "habits"]
    assert at(COUNTS_SECONDS - 1) == []
    assert at(COUNTS_SECONDS) == ["counts"]
    steps.error = ConnectionRefusedError("away")
    with caplog.at_level(logging.WARNING):
        assert at(HABITS_SECONDS) == []
    assert "the shop lists wait for" in caplog.text
    assert thread.problem
    steps.error = None
    assert at(HABITS_SECONDS + RETRY_SECONDS) == ["counts", "habits"]
    assert not thread.problem
    stop.set()
    assert at(2 * HABITS_SECONDS) == []


def test_a_step_that_takes_long_has_a_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, clock = Steps(), [0.0]
    thread = ShopListsRefresh(steps, threading.Event(), now=lambda: NOW, clock=lambda: clock[0])  # type: ignore[arg-type]

    def slow(*, now: int) -> bool:
        clock[0] += 10.0
        return steps.step("counts")

    monkeypatch.setattr(steps, "write_counts", slow)
    thread.tick()
    clock[0] = 10.0 / refresh.SHARE - 1
    thread.tick()
    assert steps.done == ["counts", "habits"]
    clock[0] = 10.0 / refresh.SHARE
    thread.tick()
    assert steps.done == ["counts", "habits", "counts"]


def test_a_step_reads_the_newest_hours_alone(shop: Shop, engine: Engine) -> None:
    shop.happens(EventType.PURCHASE, "tea", NOW - 5 * HOUR_MS, "a")
    shop.writer.write_counts(now=NOW)
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    shop.happens(EventType.PURCHASE, "tea", NOW, "b")
    asked.clear()
    shop.writer.write_counts(now=NOW)
    assert sum("item_buckets" in statement for statement in asked) == 1
    assert shop.best("24h") == [("tea", 2)]
