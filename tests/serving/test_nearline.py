import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest
from prometheus_client import REGISTRY
from redis import Redis
from sqlalchemy import Engine, update

from graphstore.config import GraphstoreConfig
from graphstore.erase import erase_person
from graphstore.queries import HistoryRow
from graphstore.session import write
from graphstore.tables import items
from serving import cache, nearline
from serving.cache import ListReader
from serving.config import ServingConfig
from serving.forget import drop_lists
from serving.nearline import CLOCK_SKEW_MS, NearLine, newest_touches, run_nearline
from serving.ranker import UnusableModel
from serving.routing import ROUTING, Arm, Routing, Split
from serving.routing import encode as encode_routing
from serving.source import ShopSource
from serving.touch_queue import Touch
from stream.config import StreamConfig
from stream.events import USERS_TOUCHED, UserTouched, encode, utc
from stream.kafka.producer import EventProducer
from tests.serving.toy import NAMES, ToyRanker, register, touch, toy_load
from tests.waiting import wait_until

T0 = 1_700_000_000_000
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Record:
    value: bytes | None
    timestamp: int = T0
    topic: str = USERS_TOUCHED
    partition: int = 0
    offset: int = 0


def touched(user: str, time: int = T0) -> bytes:
    return encode(UserTouched(event_time=utc(time), user_id=user))


@dataclass
class Shop:
    """SQL with a toy model whose keys are those of SQL."""

    engine: Engine
    redis: Redis
    near: NearLine
    keys: dict[str, int] = field(default_factory=dict)

    def first(self, version: str, user: str) -> str:
        found = ListReader(self.redis, 0).of_user(version, user)
        assert found, f"no list for {user}"
        return next(name for name, key in self.keys.items() if key == found[1].item_keys[0])

    def publish_at(self, version: str, user: str, as_of: int) -> None:
        packed = cache.pack([self.keys["apple"]], [1], as_of=as_of)
        cache.write_lists(self.redis, {cache.recs_key(version, user): packed})


@pytest.fixture
def shop(redis: Redis, sqlite_engine: Engine) -> Shop:
    for name in NAMES:
        touch(sqlite_engine, "first", name, 1)
    source = ShopSource(sqlite_engine, 10)
    keys = {item.item_id: item.item_key for item in source.items()}
    near = NearLine(source, redis, ServingConfig(list_length=3), load=toy_load(keys), freshness_samples=3)
    register(sqlite_engine, "m1")
    redis.set(cache.CHAMPION, "m1")
    assert near.follow(now=lambda: T0)
    return Shop(sqlite_engine, redis, near, keys)


def test_a_touched_shopper_gets_a_new_list_at_once(shop: Shop) -> None:
    touch(shop.engine, "ann", "dates", T0)
    clock = iter([T0 + 20, T0 + 45])
    assert shop.near.refresh({"ann": Touch(T0, T0 + 10)}, now=lambda: next(clock)) == 1
    assert shop.first("m1", "ann") == "dates"
    found = ListReader(shop.redis, 0).of_user("m1", "ann")
    assert found and (found[0], found[1].as_of) == ("nearline", T0 + 20)
    assert 30 * 86_400 - 60 < shop.redis.ttl(cache.near_key("m1", "ann")) <= 30 * 86_400  # as the visitor
    assert shop.redis.lrange(cache.FRESHNESS, 0, -1) == [b"45"]


def test_the_newest_delays_are_kept(shop: Shop) -> None:
    for n in range(5):
        touch(shop.engine, f"u{n}", "dates", T0)
        shop.near.refresh({f"u{n}": Touch(T0, T0)}, now=lambda n=n: T0 + n)  # type: ignore[misc]
    assert shop.redis.lrange(cache.FRESHNESS, 0, -1) == [b"4", b"3", b"2"]


def test_a_list_that_is_newer_than_the_touch_is_left_alone(shop: Shop) -> None:
    touch(shop.engine, "ann", "dates", T0)
    touch(shop.engine, "bob", "dates", T0)
    shop.publish_at("m1", "ann", T0 + CLOCK_SKEW_MS + 1)
    shop.publish_at("m1", "bob", T0 + CLOCK_SKEW_MS)  # may be older, as far as two clocks can say
    assert shop.near.refresh({"ann": Touch(T0, T0), "bob": Touch(T0, T0)}, now=lambda: T0 + 9_999) == 1
    assert (shop.first("m1", "ann"), shop.first("m1", "bob")) == ("apple", "dates")


def test_a_malformed_list_is_written_anew(shop: Shop) -> None:
    touch(shop.engine, "ann", "dates", T0)
    shop.redis.set(cache.near_key("m1", "ann"), b"\x09 not a list")
    assert shop.near.refresh({"ann": Touch(T0, T0)}, now=lambda: T0) == 1
    assert shop.first("m1", "ann") == "dates"


def test_a_shopper_who_is_not_stored_gets_no_list(shop: Shop) -> None:
    assert shop.near.refresh({"ghost": Touch(T0, T0)}) == 0
    assert ListReader(shop.redis, 0).of_user("m1", "ghost") is None


def test_a_clock_ahead_freezes_no_list_and_is_counted(shop: Shop) -> None:
    """The time of a list is ours: else the next touch would find a list of tomorrow, and be left out."""
    counted = REGISTRY.get_sample_value("sagestream_nearline_clock_ahead_total") or 0.0
    touch(shop.engine, "ann", "dates", T0 + 60_000)
    assert shop.near.refresh({"ann": Touch(T0 + 60_000, T0)}, now=lambda: T0) == 1
    ranker = shop.near.rankers["m1"]
    assert isinstance(ranker, ToyRanker)
    assert ranker.asked_as_of[-1] == T0 > max(ranker.seen_times)
    assert REGISTRY.get_sample_value("sagestream_nearline_clock_ahead_total") == counted + 1
    touch(shop.engine, "ann", "cheese", T0 + 61_000)
    assert shop.near.refresh({"ann": Touch(T0 + 5_000, T0 + 5_000)}, now=lambda: T0 + 5_000) == 1
    assert shop.first("m1", "ann") == "cheese"


def test_a_list_of_tomorrow_is_written_anew(shop: Shop) -> None:
    """An earlier version, or a machine whose clock was wrong, wrote it."""
    touch(shop.engine, "ann", "dates", T0)
    packed = cache.pack([shop.keys["apple"]], [1], as_of=T0 + 86_400_000)
    cache.write_lists(shop.redis, {cache.near_key("m1", "ann"): packed})
    assert shop.near.refresh({"ann": Touch(T0, T0)}, now=lambda: T0) == 1
    assert shop.first("m1", "ann") == "dates"


def test_a_new_model_takes_over_with_the_shoppers_touched_meanwhile(shop: Shop) -> None:
    touch(shop.engine, "ann", "dates", T0)
    shop.near.refresh({"ann": Touch(T0, T0), "bob": Touch(T0, T0)}, now=lambda: T0)
    measured = shop.redis.llen(cache.FRESHNESS)
    register(shop.engine, "m2", status="candidate")
    shop.publish_at("m2", "ann", T0 - 10)  # computed before the touch
    shop.publish_at("m2", "first", T0 - 10)
    assert not shop.near.follow()
    shop.redis.set(cache.CHAMPION, "m2")
    assert shop.near.follow(now=lambda: T0 + 5)
    assert shop.first("m2", "ann") == "dates"
    assert shop.first("m2", "first") == "apple"
    assert shop.redis.llen(cache.FRESHNESS) == measured  # catching up is no measurement


def serves(shop: Shop, champion: str, *others: str) -> None:
    splits = tuple(Split(other, other, (Arm("a", 0.5, other),)) for other in others)
    shop.redis.mset({cache.CHAMPION: champion, ROUTING: encode_routing(Routing(splits, champion))})


def test_two_models_are_kept_fresh_while_both_serve(shop: Shop) -> None:
    touch(shop.engine, "ann", "dates", T0)
    shop.near.refresh({"ann": Touch(T0, T0)}, now=lambda: T0)
    register(shop.engine, "m2", status="kept")
    serves(shop, "m2", "m1")
    assert shop.near.follow(now=lambda: T0 + 5)
    assert list(shop.near.rankers) == ["m2", "m1"]
    assert shop.first("m2", "ann") == "dates"
    measured = shop.redis.llen(cache.FRESHNESS)
    for _ in range(2):
        touch(shop.engine, "bob", "cheese", T0 + 6)
        assert shop.near.refresh({"bob": Touch(T0 + 6, T0 + 6)}, now=lambda: T0 + 7) == 2
    assert (shop.first("m1", "bob"), shop.first("m2", "bob")) == ("cheese", "cheese")
    assert shop.redis.llen(cache.FRESHNESS) == min(measured + 2, 3)  # the champion's delay only
    for n in range(9):
        touch(shop.engine, f"u{n}", "elder", T0 + n)
    shop.near.refresh_trend(now=T0 + 100)
    for version in ("m1", "m2"):
        popular = ListReader(shop.redis, 0).popular(version)
        assert popular and popular.item_keys[0] == shop.keys["elder"]
    forgotten(shop, "bob", "m1", "m2")
    packed = cache.pack([shop.keys["apple"]], [1], as_of=T0 + 99_999)
    cache.write_lists(shop.redis, {cache.near_key(version, "bob"): packed for version in ("m1", "m2")})
    shop.near.refresh({"bob": Touch(T0, T0)}, now=lambda: T0 + 99_999)
    assert not shop.redis.exists(cache.near_key("m1", "bob"), cache.near_key("m2", "bob"))
    serves(shop, "m2")
    assert not shop.near.follow(now=lambda: T0 + 200)
    assert list(shop.near.rankers) == ["m2"]  # the other left the memory


def test_a_rollback_needs_no_load(shop: Shop) -> None:
    register(shop.engine, "m2", status="kept")
    serves(shop, "m2", "m1")
    shop.near.follow(now=lambda: T0)
    kept = shop.near.rankers["m1"]
    serves(shop, "m1")
    assert not shop.near.follow(now=lambda: T0)
    assert list(shop.near.rankers.values()) == [kept]


def test_a_model_of_an_experiment_that_cannot_be_loaded_is_told_once(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    serves(shop, "m1", "unknown")
    for _ in range(3):
        assert not shop.near.follow(now=lambda: T0)
    assert list(shop.near.rankers) == ["m1"]
    assert caplog.text.count("model unknown is left out") == 1
    serves(shop, "m1")
    shop.near.follow(now=lambda: T0)
    register(shop.engine, "unknown", status="kept")
    serves(shop, "m1", "unknown")
    assert shop.near.follow(now=lambda: T0)


def test_touches_before_the_first_model_are_caught_up(redis: Redis, sqlite_engine: Engine) -> None:
    touch(sqlite_engine, "ann", "dates", T0)
    near = NearLine(ShopSource(sqlite_engine, 10), redis, ServingConfig(), load=toy_load({"dates": 1}))
    assert not near.follow()
    assert near.refresh({"ann": Touch(T0, T0)}) == 0
    register(sqlite_engine, "m1")
    redis.set(cache.CHAMPION, "m1")
    assert near.follow(now=lambda: T0)
    assert ListReader(redis, 0).of_user("m1", "ann") is not None


def test_a_served_model_that_the_registry_does_not_know_is_said(redis: Redis, sqlite_engine: Engine) -> None:
    near = NearLine(ShopSource(sqlite_engine, 10), redis, ServingConfig(), load=toy_load())
    redis.set(cache.CHAMPION, "m9")
    with pytest.raises(UnusableModel, match="m9"):
        near.follow()


def test_the_trend_moves_the_list_of_strangers(shop: Shop) -> None:
    before = ListReader(shop.redis, 0).popular("m1")
    assert before and before.item_keys[0] == shop.keys["apple"]
    for n in range(9):
        touch(shop.engine, f"u{n}", "cheese", T0 + n)
    shop.near.refresh_trend(now=T0 + 100)
    after = ListReader(shop.redis, 0).popular("m1")
    assert after and (after.item_keys[0], after.as_of) == (shop.keys["cheese"], T0 + 100)


def test_what_is_new_or_sold_out_counts_for_strangers_and_touched_shoppers(shop: Shop) -> None:
    touch(shop.engine, "ann", "figs", T0)
    with write(shop.engine) as connection:
        connection.execute(update(items).where(items.c.item_id == "apple").values(available=False))
    shop.near.freshen(now=T0 + 100)  # the first look is due
    popular = ListReader(shop.redis, 0).popular("m1")
    assert popular
    assert shop.keys["apple"] not in popular.item_keys
    assert ListReader(shop.redis, 0).similar("m1", ["figs"])[0] is not None
    shop.near.refresh({"ann": Touch(T0, T0)}, now=lambda: T0 + 200)
    new = {item.item_id: item.item_key for item in ShopSource(shop.engine).items()}["figs"]
    found = ListReader(shop.redis, 0).of_user("m1", "ann")
    assert found
    assert found[1].item_keys[0] == new
    assert shop.keys["apple"] not in found[1].item_keys


def test_a_shared_list_that_could_not_be_written_is_written_at_the_next_call(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with write(shop.engine) as connection:
        connection.execute(update(items).where(items.c.item_id == "apple").values(available=False))
    with monkeypatch.context() as patch:
        patch.setattr(cache, "write_lists", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            shop.near.freshen(now=T0 + 100)
    shop.near.freshen(now=T0 + 200)  # no look is due, but the list is
    popular = ListReader(shop.redis, 0).popular("m1")
    assert popular
    assert (popular.as_of, shop.keys["apple"] in popular.item_keys) == (T0 + 200, False)


class Interrupted(ShopSource):
    """Lets `happens` happen once, right after the histories were read."""

    happens: ClassVar[list[Callable[[], object]]] = []

    def histories_of(self, user_ids: Sequence[str]) -> Mapping[str, list[HistoryRow]]:
        found = super().histories_of(user_ids)
        if self.happens:
            self.happens.pop()()
        return found


def forgotten(shop: Shop, user: str, *versions: str) -> None:
    """As `sagestream forget` does it."""
    ids = erase_person(shop.engine, user, now=T0).ids
    drop_lists(shop.redis, versions or ["m1"], ids)


def test_who_is_forgotten_between_the_read_and_the_write_gets_no_list(shop: Shop) -> None:
    for user in ("ann", "bob"):
        touch(shop.engine, user, "dates", T0)
    near = NearLine(Interrupted(shop.engine, 10), shop.redis, ServingConfig(), load=toy_load(shop.keys))
    assert near.follow(now=lambda: T0)
    Interrupted.happens.append(lambda: forgotten(shop, "ann"))
    near.refresh({"ann": Touch(T0, T0), "bob": Touch(T0, T0)}, now=lambda: T0)
    assert not Interrupted.happens
    assert not shop.redis.exists(cache.near_key("m1", "ann"))
    assert shop.first("m1", "bob") == "dates"
    assert list(near.remembered) == ["bob"]


def test_a_list_that_a_killed_process_left_goes_with_the_same_touch(shop: Shop) -> None:
    forgotten(shop, "ann")
    packed = cache.pack([shop.keys["apple"]], [1], as_of=T0 + 99_999)  # new enough to make the touch stale
    cache.write_lists(shop.redis, {cache.near_key("m1", "ann"): packed})
    assert shop.near.refresh({"ann": Touch(T0, T0)}, now=lambda: T0 + 99_999) == 0
    assert not shop.redis.exists(cache.near_key("m1", "ann"))


def test_a_new_model_finds_no_forgotten_shopper_among_the_remembered(shop: Shop) -> None:
    touch(shop.engine, "ann", "dates", T0)
    shop.near.refresh({"ann": Touch(T0, T0)}, now=lambda: T0)
    forgotten(shop, "ann")
    register(shop.engine, "m2", status="candidate")
    shop.redis.set(cache.CHAMPION, "m2")
    assert shop.near.follow(now=lambda: T0)
    assert not shop.redis.exists(cache.near_key("m2", "ann"))
    assert not shop.near.remembered


def test_remembered_touches_are_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearline, "REMEMBERED_TOUCHES", 2)
    shop.near.remember({"a": Touch(1, 1), "b": Touch(1, 1)})
    shop.near.remember({"a": Touch(2, 2), "c": Touch(1, 1)})
    assert list(shop.near.remembered) == ["a", "c"]


def test_a_shopper_touched_twice_is_refreshed_once() -> None:
    records = [
        Record(touched("ann", T0), timestamp=T0 + 1),
        Record(touched("bob", T0), timestamp=0),
        Record(touched("ann", T0 - 5), timestamp=T0 + 9),
        Record(b"no touch"),
        Record(None),
    ]
    touches = newest_touches(records, now=NOW)
    assert touches["ann"] == Touch(T0, T0 + 9)
    assert set(touches) == {"ann", "bob"}
    assert utc(touches["bob"].announced_at) == NOW


def test_the_loop_turns_a_message_into_a_list(
    shop: Shop, redis_url: str, tmp_path: Path, stream_config: StreamConfig, caplog: pytest.LogCaptureFixture
) -> None:
    graphstore = GraphstoreConfig(redis_url=redis_url, database_url=f"sqlite:///{tmp_path / 'graph.db'}")
    stop = threading.Event()
    thread = threading.Thread(
        target=run_nearline,
        args=(ServingConfig(), graphstore, stream_config, stop),
        kwargs={"load": toy_load(shop.keys)},
    )
    thread.start()
    try:
        with EventProducer(stream_config) as producer:
            for user in ("ann", "bob"):
                touch(shop.engine, user, "dates", T0)
                producer.send(USERS_TOUCHED, UserTouched(event_time=utc(T0), user_id=user), key=user)
                producer.flush()
                wait_until(lambda user=user: ListReader(shop.redis, 0).of_user("m1", user))  # type: ignore[misc]
                assert shop.first("m1", user) == "dates"
            shop.redis.delete(cache.near_key("m1", "ann"))
            shop.redis.config_set("maxmemory", 1)  # a full Redis: the touch is kept in hand
            producer.send(USERS_TOUCHED, UserTouched(event_time=utc(T0), user_id="ann"), key="ann")
            wait_until(lambda: "1 touches wait for redis" in caplog.text)
            shop.redis.config_set("maxmemory", 0)
            wait_until(lambda: ListReader(shop.redis, 0).of_user("m1", "ann"))
    finally:
        shop.redis.config_set("maxmemory", 0)
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
