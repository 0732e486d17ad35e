"""Shoppers: clicks only where the data says so, everything produced, events with their own ids."""

import math
import random
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from sagestream.playground.shoppers import ShopClient, ShopError, Shoppers, find_telling, watch_change
from stream.events import EventType, Interaction, utc

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Shop(ShopClient):
    """Answers with a fixed list; keeps what was posted."""

    def __init__(self, items: list[str]) -> None:
        self.items = items
        self.posted: list[Interaction] = []
        self.down = False

    def recommendations(self, user_id: str, *, k: int = 20, slot: str | None = "home") -> dict[str, Any]:
        if self.down:
            raise ShopError("closed")
        listed = [{"item_id": item, "position": place, "title": item} for place, item in enumerate(self.items)]
        return {"request_id": f"r-{user_id}", "items": listed}

    def send(self, sent: list[Interaction]) -> dict[str, Any]:
        self.posted += sent
        return {"accepted": len(sent)}


class Topic:
    """Keeps what was produced."""

    def __init__(self) -> None:
        self.events: list[Interaction] = []

    def send(self, topic: str, event: Interaction, *, key: str) -> None:
        assert (topic, key) == ("interactions", event.user_id)
        self.events.append(event)

    def flush(self) -> None:
        return


def purchases(rows: list[tuple[str, str, int]]) -> list[Interaction]:
    return [
        Interaction(
            event_id=f"e{n}",
            event_type=EventType.PURCHASE,
            user_id=user,
            item_id=item,
            event_time=utc(time),
            quantity=1,
        )
        for n, (user, item, time) in enumerate(rows)
    ]


def shoppers(rows: list[tuple[str, str, int]], shop: Shop, topic: Topic, start: int = 0) -> Shoppers:
    producer: Any = topic
    return Shoppers(purchases(rows)[start:], start, producer, shop, 1e9, random.Random(0), clock=lambda: NOW)


ROWS = [("u", "a", 1), ("u", "b", 1), ("v", "a", 1), ("u", "c", 2)]


def test_baskets_are_one_shopper_at_one_instant() -> None:
    made = shoppers(ROWS, Shop([]), Topic())
    assert [[event.item_id for event in basket] for basket in made.baskets()] == [["a", "b"], ["a"], ["c"]]


def test_a_click_is_an_item_shown_first_and_really_bought() -> None:
    shop, topic = Shop(["a", "x"]), Topic()
    counts = shoppers(ROWS, shop, topic).run(threading.Event())
    assert [(click.user_id, click.item_id, click.position, click.request_id) for click in shop.posted] == [
        ("u", "a", 0, "r-u"),
        ("v", "a", 0, "r-v"),
    ]
    assert {click.event_type for click in shop.posted} == {EventType.CLICK}
    assert [(event.event_id, event.request_id) for event in topic.events] == [
        ("e0", "r-u"),
        ("e1", None),
        ("e2", "r-v"),
        ("e3", None),
    ]
    assert all(event.event_time == NOW for event in topic.events)
    assert (counts.produced, counts.clicks, counts.lists, counts.next_row) == (6, 2, 3, 4)


def test_a_closed_shop_does_not_stop_the_buying() -> None:
    shop, topic = Shop(["a"]), Topic()
    shop.down = True
    counts = shoppers(ROWS, shop, topic, start=2).run(threading.Event())
    assert (counts.failed_lists, counts.clicks, counts.produced) == (2, 0, 2)
    assert [event.event_id for event in topic.events] == ["e2", "e3"]


def test_stopping_ends_after_the_basket_in_hand() -> None:
    stop = threading.Event()
    stop.set()
    assert shoppers(ROWS, Shop([]), Topic()).run(stop).next_row == 2


def test_attention_falls_with_the_position() -> None:
    made = shoppers(ROWS, Shop([]), Topic())
    looked = sum(made.looks_at(6) for _ in range(6000)) / 6000
    assert looked == pytest.approx(1 / math.log2(8), abs=0.03)


def test_a_telling_purchase_is_of_an_item_just_below_the_list() -> None:
    shop = Shop([f"i{number}" for number in range(30)])
    rows = [("u", "i3", 1), ("u", "other", 1), ("v", "i25", 2), ("v", "i26", 2)]
    found = find_telling(shop, purchases(rows))
    assert found is not None
    assert (found.user_id, found.item_id) == ("v", "i25")
    nothing = find_telling(shop, purchases(rows[:2]))
    assert nothing is not None
    assert nothing.item_id == "i3"
    assert find_telling(shop, []) is None


def test_a_change_is_seen_and_timed() -> None:
    shop, topic = Shop(["a", "b"]), Topic()

    class Eager(Topic):
        def send(self, topic: str, event: Interaction, *, key: str) -> None:
            shop.items = ["b", "c"]

    producer: Any = Eager()
    event = purchases(ROWS)[0]
    change = watch_change(shop, producer, event, title="A")
    assert (change.before, change.after) == (["a", "b"], ["b", "c"])
    assert change.milliseconds is not None
    unheard: Any = topic
    still = watch_change(shop, unheard, event, title="A", timeout_seconds=0.05)
    assert still.milliseconds is None


def test_a_click_comes_after_its_list() -> None:
    """A click before its list would be credited to nobody."""
    moments: list[str] = []
    shop, topic = Shop(["a"]), Topic()
    made = shoppers(ROWS[:1], shop, topic)
    made.clock = lambda: moments.append("clock") or NOW  # type: ignore[func-returns-value]
    serve = shop.recommendations
    shop.recommendations = lambda user_id, **more: moments.append("list") or serve(user_id)  # type: ignore[method-assign, func-returns-value]
    made.run(threading.Event())
    assert moments == ["list", "clock"]
