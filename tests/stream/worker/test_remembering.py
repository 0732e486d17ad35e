"""What Redis remembers of shoppers while their events come: purchases, lists, and nobody who stays away."""

import random
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine

from graphstore.redis import hot
from graphstore.redis.lifetime import DAY_MS
from serving.cache import ItemReader
from stream.events import CatalogItem, EventType, Identity, Impression, ImpressionItem, Interaction, Seen, utc
from stream.worker.sink import Sink
from tests.graphstore.redis.memory import NOBODY, ShopperMemory, read_memory

NOW = 1_767_614_400_000
DAYS = 30


@pytest.fixture
def sink(sqlite_engine: Engine, redis: Redis) -> Sink:
    return Sink(sqlite_engine, redis, visitor_days=DAYS)


def event(kind: EventType, time: int, user: str = "u", item: str = "i", **more: Any) -> Interaction:
    name = f"{kind}{user}{item}{time}"
    return Interaction(event_id=name, event_type=kind, user_id=user, item_id=item, event_time=utc(time), **more)


def listed(request: str, time: int, *items: str, user: str = "u", **more: Any) -> Impression:
    return Impression(
        request_id=request,
        user_id=user,
        slot="home",
        event_time=utc(time),
        model_version="m",
        variant="champion",
        items=[
            ImpressionItem(item_id=item, position=place, score=0.5, propensity=1.0, source="batch")
            for place, item in enumerate(items)
        ],
        **more,
    )


def looked(request: str, time: int, *positions: int, user: str = "u") -> Seen:
    return Seen(request_id=request, user_id=user, positions=list(positions), event_time=utc(time))


def memory(redis: Redis, user: str = "u", now: int = NOW) -> ShopperMemory:
    return read_memory(redis, user, now=now)


def test_purchases_are_remembered_by_their_last_time(sink: Sink, redis: Redis) -> None:
    bought = [event(EventType.PURCHASE, NOW), event(EventType.PURCHASE, NOW - 5), event(EventType.VIEW, NOW + 9)]
    for batch in (bought[:2], bought, [event(EventType.PURCHASE, NOW - 9, item="j")]):
        sink.store_interactions(batch, now=NOW)
    assert memory(redis).bought == {"i": NOW, "j": NOW - 9}


@pytest.mark.parametrize("seed", range(6))
def test_what_was_taken_back_is_not_bought_in_any_order(sink: Sink, redis: Redis, seed: int) -> None:
    events = [
        event(EventType.PURCHASE, NOW - 50, quantity=1),
        event(EventType.PURCHASE, NOW - 40, quantity=2),
        event(EventType.RETURN, NOW - 30, quantity=2),
        event(EventType.PURCHASE, NOW - 50, item="j"),
        event(EventType.CANCEL, NOW - 40, item="j"),
        event(EventType.PURCHASE, NOW - 50, item="k"),
    ]
    for one in random.Random(seed).sample([*events, *events[:3]], len(events) + 3):
        sink.store_interactions([one], now=NOW)
    assert memory(redis).bought == {"i": NOW - 50, "k": NOW - 50}


def test_the_purchases_of_a_session_become_those_of_the_person(sink: Sink, redis: Redis) -> None:
    sink.store_interactions([event(EventType.PURCHASE, NOW - 5, user="s", item="j")], now=NOW)
    sink.store_impressions([listed("r", NOW - 3, "a", user="s")], now=NOW)
    sink.store_identities([Identity(anonymous_id="s", user_id="u", event_time=utc(NOW))], now=NOW)
    assert memory(redis, "s") == NOBODY
    assert memory(redis).bought == {"j": NOW - 5}
    assert memory(redis).shown == {"a": 1}
    sink.store_impressions([listed("r2", NOW, "a", user="s")], now=NOW)
    assert memory(redis).shown == {"a": 2}
    assert memory(redis, "s") == NOBODY


@pytest.mark.parametrize("seed", range(6))
def test_what_was_shown_counts_once_whatever_comes_twice(sink: Sink, redis: Redis, seed: int) -> None:
    steps = [
        *(("list", listed(f"r{n}", NOW - 90_000 + n * 5_000, "a", "b", "c")) for n in range(3)),
        ("list", listed("fetched", NOW - 9_000, "a", "b", confirmed=False)),
        ("list", listed("by a robot", NOW - 8_000, "a", "b", robot=True)),
        ("look", looked("fetched", NOW - 8_500, 1)),
        ("look", looked("r1", NOW - 8_400, 0, 1)),
        ("event", event(EventType.CLICK, NOW - 83_000, item="c")),
    ]
    store: dict[str, Any] = {
        "list": sink.store_impressions,
        "look": sink.store_seen,
        "event": sink.store_interactions,
    }
    rng = random.Random(seed)
    for kind, one in rng.sample([*steps, *steps], 2 * len(steps)):
        store[kind]([one], now=NOW)
    assert memory(redis).shown == {"a": 3, "b": 4, "c": 1}


def test_who_stays_away_is_forgotten_and_comes_back_whole(sink: Sink, redis: Redis) -> None:
    first = NOW - (DAYS + 1) * DAY_MS
    events = [event(EventType.PURCHASE, first, item="tea"), event(EventType.VIEW, first + 5, item="cup")]
    sink.store_interactions(events, now=first)
    sink.store_impressions([listed("r", first + 9_000, "pot")], now=first)
    for key in hot.USER_KEYS:
        assert (DAYS - 1) * DAY_MS < int(redis.pttl(key("u"))) <= DAYS * DAY_MS + 9_000
        redis.delete(key("u"))  # thirty days pass
    assert memory(redis) == NOBODY
    sink.store_interactions(events, now=NOW)  # an old batch that comes again brings nobody back
    assert memory(redis) == NOBODY
    sink.store_interactions([event(EventType.CLICK, NOW, item="cup")], now=NOW)
    assert memory(redis).recent == [("cup", NOW), ("tea", first)]
    assert memory(redis).bought == {"tea": first}
    assert hot.seen(redis, "u") == {"tea", "cup"}
    assert int(redis.pttl(hot.recent_key("u"))) > (DAYS - 1) * DAY_MS


def test_a_worker_that_dies_before_it_restores_leaves_no_half_memory(
    sink: Sink, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink.store_interactions([event(EventType.VIEW, NOW - 5, item="tea")], now=NOW)
    redis.flushall()
    batch = [event(EventType.VIEW, NOW, item="cup"), event(EventType.VIEW, NOW, user="new")]

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("stream.worker.sink.restore_people", killed)
        sink.store_interactions(batch, now=NOW)
    assert memory(redis) == NOBODY
    assert memory(redis, "new").recent == [("i", NOW)]
    sink.store_interactions(batch, now=NOW)
    assert memory(redis).recent == [("cup", NOW), ("tea", NOW - 5)]


def test_an_older_event_does_not_shorten_a_life(sink: Sink, redis: Redis) -> None:
    sink.store_interactions([event(EventType.VIEW, NOW)], now=NOW)
    sink.store_interactions([event(EventType.VIEW, NOW - 29 * DAY_MS, item="j")], now=NOW)
    assert int(redis.pttl(hot.recent_key("u"))) > 29 * DAY_MS
    assert {item for item, _ in memory(redis).recent} == {"i", "j"}


def test_a_sell_out_reaches_readers_within_a_second(sink: Sink, redis: Redis) -> None:
    clock = [0.0]
    reader = ItemReader(redis, clock=lambda: clock[0])
    sink.store_items([CatalogItem(item_id="tea", title="Tea", event_time=utc(NOW), stock=1)], now=NOW)
    (tea,) = reader.by_id(["tea"])
    assert tea and tea.available
    sink.store_items([CatalogItem(item_id="tea", title="Tea", event_time=utc(NOW + 1), stock=0)], now=NOW)
    clock[0] = 0.5
    (sold_out,) = reader.by_key([tea.item_key])
    assert sold_out and not sold_out.available


def test_all_keys_of_a_shopper_end_together(sink: Sink, redis: Redis) -> None:
    sink.store_interactions([event(EventType.VIEW, NOW)], now=NOW)
    for key in hot.USER_KEYS[:2]:
        redis.pexpire(key("u"), DAYS * DAY_MS - 1_800_000)  # half an hour later
    sink.store_interactions([event(EventType.PURCHASE, NOW + 1_800_000)], now=NOW + 1_800_000)
    ends = [int(redis.pexpiretime(key("u"))) for key in hot.USER_KEYS[:3]]
    assert max(ends) - min(ends) < 1_000
    for key in hot.USER_KEYS[:3]:
        redis.pexpire(key("u"), DAYS * DAY_MS - 7_200_000)  # two hours later
    sink.store_interactions([event(EventType.VIEW, NOW + 7_200_000)], now=NOW + 7_200_000)
    assert all(int(redis.pttl(key("u"))) > DAYS * DAY_MS - 60_000 for key in hot.USER_KEYS[:3])
