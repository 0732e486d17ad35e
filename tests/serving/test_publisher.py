import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from urllib.request import urlopen

import pytest
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import OutOfMemoryError
from sqlalchemy import Engine, insert, update

from graphstore.config import GraphstoreConfig
from graphstore.erase import erase_person
from graphstore.queries import HistoryRow
from graphstore.redis import changes, hot, item_store
from graphstore.redis.rebuild import rebuild
from graphstore.session import write
from graphstore.tables import experiments, models
from sagestream.playground.embedded import free_ports, own_redis
from serving import cache
from serving import publisher as publisher_module
from serving.cache import ListReader
from serving.config import ServingConfig
from serving.nearline import run_nearline
from serving.publication import ListLimits, Publication, publish
from serving.publisher import Publisher, PublishingInterrupted, retire, run_publisher
from serving.ranker import UnusableModel
from serving.routing import Routing
from serving.routing_source import Wanted
from serving.source import ShopSource
from serving.switch import switch, whole
from stream.config import PROBED_PROCESSES, StreamConfig
from stream.events import MODELS, ModelAnnouncement, utc
from stream.kafka.producer import EventProducer
from stream.probe import FIRST_MODEL
from tests.serving.toy import ToyRanker, ToyShop, register, touch, toy_load, toy_opened
from tests.waiting import wait_until
from training.lifecycle import registry
from training.lifecycle.promotions import Change

LATELY = 1_700_000_000_000
HISTORIES = {"ann": [(15, 5, 0)], "bob": [(13, 6, 0), (13, 7, 0)], "cyd": []}


def publish_toy(
    redis: Redis,
    version: str = "m1",
    *,
    as_of: int = 1_000,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **changed: object,
) -> Publication:
    settings = {"k": 3, "similar_k": 2, "block_users": 2, **changed}
    limits = ListLimits(**settings)  # type: ignore[arg-type]
    done = publish(ToyRanker(version), ToyShop(HISTORIES), redis, limits, as_of=as_of, progress=progress)
    switch(redis, lambda: Wanted(version, Routing((), version)), now=as_of, written=version)
    return done


def first(redis: Redis, version: str, user: str) -> int:
    found = ListReader(redis, 0).of_user(version, user)
    assert found
    return int(found[1].item_keys[0])


def keys_of(redis: Redis, version: str) -> list[bytes]:
    return [key for key in redis.scan_iter() if cache.version_of(key) == version]


def test_all_lists_are_there_and_then_the_pointer(redis: Redis) -> None:
    done = publish_toy(redis)
    assert (done.users, done.items) == (3, 5)
    assert cache.champion(redis) == "m1"
    assert [first(redis, "m1", user) for user in HISTORIES] == [15, 13, 11]
    popular = ListReader(redis, 0).popular("m1")
    assert popular and popular.item_keys.tolist() == [11, 12, 13]
    assert popular.as_of == 1_000
    similar = ListReader(redis, 0).similar("m1", ["elder"])[0]
    assert similar and similar.item_keys.tolist() == [11, 12]
    assert [item and item.title for item in item_store.get_items_by_key(redis, [13])] == ["Cheese"]
    assert all(redis.ttl(key) == -1 for key in keys_of(redis, "m1"))


def test_what_happens_after_its_time_is_left_to_near_line(redis: Redis) -> None:
    publish_toy(redis, as_of=6)
    assert [first(redis, "m1", user) for user in HISTORIES] == [15, 11, 11]


def test_publishing_twice_changes_nothing(redis: Redis) -> None:
    publish_toy(redis)
    before = {key: redis.dump(key) for key in redis.scan_iter()}
    publish_toy(redis)
    assert {key: redis.dump(key) for key in redis.scan_iter()} == before


def test_the_old_model_expires_and_comes_back_whole(redis: Redis) -> None:
    publish_toy(redis, "m1")
    redis.set(cache.near_key("m1", "ann"), cache.pack([11], [1], as_of=1), ex=9_999)
    publish_toy(redis, "m2")
    assert retire(redis, keep=["m2"], ttl_seconds=60, now=1_000) == len(keys_of(redis, "m1")) == 10
    assert all(0 < redis.ttl(key) <= 60 for key in keys_of(redis, "m1"))
    assert whole(redis) == {"m1": 61_000, "m2": float("inf")}
    assert retire(redis, keep=["m2"], ttl_seconds=9_999, now=1_000) == 10
    assert all(redis.ttl(key) <= 60 for key in keys_of(redis, "m1"))  # an end is never put off
    assert whole(redis)["m1"] == 61_000
    publish_toy(redis, "m1")  # a rollback
    redis.delete(cache.near_key("m1", "ann"))
    assert all(redis.ttl(key) == -1 for key in keys_of(redis, "m1"))
    retire(redis, keep=["m1"], ttl_seconds=60, now=1_000)
    assert all(0 < redis.ttl(key) <= 60 for key in keys_of(redis, "m2"))
    retire(redis, keep=["m1"], ttl_seconds=60, now=61_000)
    assert whole(redis) == {"m1": float("inf")}


def test_a_publication_that_is_stopped_leaves_the_pointer(redis: Redis) -> None:
    publish_toy(redis, "m1")

    def stop(done: int, total: int) -> None:
        if done == total:
            raise PublishingInterrupted

    with pytest.raises(PublishingInterrupted):
        publish_toy(redis, "m2", progress=stop)
    assert cache.champion(redis) == "m1"
    assert all(redis.ttl(key) == -1 for key in keys_of(redis, "m1"))


@pytest.mark.kill
@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_kill_in_mid_publish_leaves_the_old_model_whole(redis: Redis, redis_url: str, calls: int) -> None:
    publish_toy(redis, "m1")
    whole = {key: redis.dump(key) for key in keys_of(redis, "m1")}
    code = f"""
import os, signal
from redis import Redis
from tests.serving.test_publisher import publish_toy
left = [{calls}]
def die(done, total):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
publish_toy(Redis.from_url({redis_url!r}), "m2", progress=die)
"""
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert cache.champion(redis) == "m1"
    assert {key: redis.dump(key) for key in keys_of(redis, "m1")} == whole
    publish_toy(redis, "m2")
    assert cache.champion(redis) == "m2"


def test_a_version_that_would_break_keys_is_refused(redis: Redis) -> None:
    with pytest.raises(ValueError):
        publish_toy(redis, "m:1")
    assert not list(redis.scan_iter())


@pytest.fixture
def publisher(redis: Redis, sqlite_engine: Engine) -> Publisher:
    touch(sqlite_engine, "ann", "elder", 5)
    return Publisher(ShopSource(sqlite_engine, 10), redis, ServingConfig(), load=toy_opened())


def test_reconcile_publishes_the_champion_once(publisher: Publisher, redis: Redis, sqlite_engine: Engine) -> None:
    assert publisher.reconcile() == []
    register(sqlite_engine, "m1")
    (done,) = publisher.reconcile(now=lambda: 77)
    assert (done.model_version, done.as_of, done.users) == ("m1", 77, 1)
    assert publisher.reconcile() == []
    redis.flushall()  # everything in Redis can be rebuilt
    assert publisher.reconcile()
    redis.set(cache.popular_key("m1"), b"\x63 of another format")
    assert publisher.reconcile()
    assert publisher.reconcile() == []


WATCHED = Change("gate", "better", 0.25, 60.0)
SHOPPERS = ["ann", *(f"u{number}" for number in range(40))]


def promoted(engine: Engine, version: str) -> None:
    """A promotion with a probation of a minute, at the time 0."""
    register(engine, version, status="kept")
    with write(engine) as connection:
        registry.promote(connection, version, now=0, change=WATCHED)


def served_versions(redis: Redis) -> set[str]:
    lists = ListReader(redis, 0)
    return {found.model_version for user in SHOPPERS if (found := lists.assign(user, "home"))}


def test_a_probation_keeps_the_lists_of_both_models_and_ends(
    publisher: Publisher, redis: Redis, sqlite_engine: Engine
) -> None:
    promoted(sqlite_engine, "m1")
    assert publisher.reconcile(now=lambda: 1)
    promoted(sqlite_engine, "m2")
    assert [done.model_version for done in publisher.reconcile(now=lambda: 2)] == ["m2"]
    assert served_versions(redis) == {"m1", "m2"}
    assert all(redis.ttl(key) == -1 for version in ("m1", "m2") for key in keys_of(redis, version))
    promoted(sqlite_engine, "m3")  # takes the probation over
    assert [done.model_version for done in publisher.reconcile(now=lambda: 3)] == ["m3"]
    assert served_versions(redis) == {"m2", "m3"}
    assert all(redis.ttl(key) > 0 for key in keys_of(redis, "m1"))
    assert publisher.reconcile(now=lambda: 59_999) == []
    assert served_versions(redis) == {"m2", "m3"}
    assert publisher.reconcile(now=lambda: 60_000) == []  # the time is over
    assert served_versions(redis) == {"m3"}
    assert all(redis.ttl(key) > 0 for key in keys_of(redis, "m2"))


def test_a_rollback_switches_without_a_publication(publisher: Publisher, redis: Redis, sqlite_engine: Engine) -> None:
    promoted(sqlite_engine, "m1")
    publisher.reconcile(now=lambda: 1)
    promoted(sqlite_engine, "m2")
    publisher.reconcile(now=lambda: 2)
    with write(sqlite_engine) as connection:
        registry.rollback(connection, now=3)
    assert publisher.reconcile(now=lambda: 3) == []
    assert served_versions(redis) == {"m1"}
    assert all(redis.ttl(key) > 0 for key in keys_of(redis, "m2"))
    assert all(redis.ttl(key) == -1 for key in keys_of(redis, "m1"))


def test_a_rollback_to_expiring_lists_is_served_at_once_and_published_again(
    publisher: Publisher, redis: Redis, sqlite_engine: Engine
) -> None:
    for time, version in enumerate(("m1", "m2"), start=1):
        promoted(sqlite_engine, version)
        publisher.reconcile(now=lambda time=time: 60_000 * time)  # type: ignore[misc]
    assert all(redis.ttl(key) > 0 for key in keys_of(redis, "m1"))
    with write(sqlite_engine) as connection:
        registry.rollback(connection, now=120_001)
    seen: list[set[str]] = []

    def load(bundle: Path) -> nullcontext[ToyRanker]:
        seen.append(served_versions(redis))
        return nullcontext(ToyRanker(bundle.name))

    other = Publisher(ShopSource(sqlite_engine, 10), redis, ServingConfig(), load=load)
    assert [done.model_version for done in other.reconcile(now=lambda: 120_002)] == ["m1"]
    assert seen == [{"m1"}]
    assert all(redis.ttl(key) == -1 for key in keys_of(redis, "m1"))


def test_a_model_of_an_experiment_that_cannot_be_loaded_stops_neither_the_champion_nor_others(
    publisher: Publisher, redis: Redis, sqlite_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    promoted(sqlite_engine, "m1")
    register(sqlite_engine, "broken", status="kept")
    register(sqlite_engine, "m0", status="kept")
    arms = '[{"name": "a", "share": 0.3, "model_version": "%s"}]'
    with write(sqlite_engine) as connection:
        for name, version in (("bad", "broken"), ("good", "m0"), ("odd", "unknown")):
            row = {"name": name, "salt": name, "arms": arms % version, "status": "running", "who": "", "why": ""}
            connection.execute(insert(experiments).values(**row, started_at=1))

    def load(bundle: Path) -> nullcontext[ToyRanker]:
        return nullcontext(ToyRanker("another" if bundle.name == "broken" else bundle.name))

    other = Publisher(ShopSource(sqlite_engine, 10), redis, ServingConfig(), load=load)
    assert [done.model_version for done in other.reconcile(now=lambda: 1)] == ["m1", "m0"]
    assert served_versions(redis) == {"m1", "m0"}
    assert "model broken cannot be published" in caplog.text
    assert other.reconcile(now=lambda: 1) == []
    assert caplog.text.count("left out: experiment odd") == 1


@pytest.mark.parametrize("command", ["EXEC", "ZADD", "EXPIRE"])
def test_a_publisher_that_is_stopped_between_any_two_writes_leaves_readers_a_whole_model(
    publisher: Publisher, redis: Redis, sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A kill is an error that nobody handles. The next start does the rest, and the keys are those of a calm run."""
    promoted(sqlite_engine, "m1")
    publisher.reconcile(now=lambda: 1)
    promoted(sqlite_engine, "m2")
    promoted(sqlite_engine, "m3")

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    target, name = {
        "EXEC": (publisher_module, "switch"),
        "ZADD": (publisher_module, "retire"),
        "EXPIRE": (Pipeline, "expire"),
    }[command]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(target, name, die)
        publisher.reconcile(now=lambda: 2)
    lists = ListReader(redis, 0)
    for user in SHOPPERS:
        found = lists.assign(user, "home")
        assert found and lists.popular(found.model_version)
    publisher.reconcile(now=lambda: 2)
    assert publisher.reconcile(now=lambda: 2) == []
    assert served_versions(redis) == {"m2", "m3"}
    assert all(redis.ttl(key) > 0 for key in keys_of(redis, "m1"))
    assert all(redis.ttl(key) == -1 for version in ("m2", "m3") for key in keys_of(redis, version))


class ForgetfulShop(ShopSource):
    """Somebody is forgotten right after their histories were read."""

    def histories(self, user_keys: Sequence[int]) -> list[list[HistoryRow]]:
        found = super().histories(user_keys)
        forgotten(self.engine, "ann")
        return found


def forgotten(engine: Engine, user: str) -> None:
    """What `sagestream forget` does in SQL: it deletes lists before the publisher writes them."""
    erase_person(engine, user, now=6)


def users_with_a_list(redis: Redis) -> set[str]:
    return {key.decode().rpartition(":")[2] for key in redis.scan_iter("recs:m1:*")}


def test_who_is_forgotten_in_mid_publication_has_no_list(redis: Redis, sqlite_engine: Engine) -> None:
    for user in ("ann", "bob"):
        touch(sqlite_engine, user, "elder", 5)
    register(sqlite_engine, "m1")
    source = ForgetfulShop(sqlite_engine, 10)
    assert Publisher(source, redis, ServingConfig(), load=toy_opened()).reconcile(now=lambda: 77)
    assert users_with_a_list(redis) == {"bob"}


def test_lists_that_a_killed_publisher_left_go_with_the_next_publication(
    publisher: Publisher, redis: Redis, sqlite_engine: Engine
) -> None:
    touch(sqlite_engine, "bob", "elder", 5)
    register(sqlite_engine, "m1")
    cache.write_lists(redis, {cache.recs_key("m1", "ann"): b"by the killed one"})
    forgotten(sqlite_engine, "ann")
    assert publisher.reconcile(now=lambda: 77)
    assert users_with_a_list(redis) == {"bob"}


CLOCKED = {changes.CHANGED.encode(), changes.COUNTER.encode()}
"""Keys whose content begins with the clock of Redis."""


def test_after_a_flush_a_rebuild_and_the_publisher_bring_everything_back(
    publisher: Publisher, redis: Redis, sqlite_engine: Engine
) -> None:
    register(sqlite_engine, "m1")

    def restore() -> dict[bytes, bytes]:
        redis.flushall()
        rebuild(sqlite_engine, redis, now=lambda: 77, limits=hot.HotLimits(5, 5))
        assert cache.champion(redis) is None
        assert publisher.reconcile(now=lambda: 77)
        return {key: redis.dump(key) for key in redis.scan_iter() if key not in CLOCKED}

    before = restore()
    assert {b"recent:ann", b"recs:m1:ann", b"item:elder", b"trending:1h", b"recs:champion"} < before.keys()
    assert restore() == before


def test_a_bundle_of_another_model_is_refused(redis: Redis, sqlite_engine: Engine) -> None:
    register(sqlite_engine, "m1")
    publisher = Publisher(
        ShopSource(sqlite_engine, 10), redis, ServingConfig(), load=lambda bundle: nullcontext(ToyRanker("other"))
    )
    with pytest.raises(UnusableModel, match="other"):
        publisher.reconcile()
    assert cache.champion(redis) is None


def test_lists_are_made_with_the_trend_of_now(redis: Redis, sqlite_engine: Engine) -> None:
    touch(sqlite_engine, "ann", "elder", 5)
    keys = {item.item_id: item.item_key for item in ShopSource(sqlite_engine, 10).items()}
    for n in range(9):
        touch(sqlite_engine, f"u{n}", "elder", 6)
    register(sqlite_engine, "m1")
    Publisher(ShopSource(sqlite_engine, 10), redis, ServingConfig(), load=toy_opened(keys)).reconcile()
    popular = ListReader(redis, 0).popular("m1")
    assert popular and popular.item_keys[0] == keys["elder"]


def wait_for(redis: Redis, version: str) -> None:
    wait_until(lambda: cache.champion(redis) == version, told=lambda: f"{version} was not published")


def test_the_loop_follows_announcements_and_the_registry(
    redis: Redis, redis_url: str, tmp_path: Path, sqlite_engine: Engine, stream_config: StreamConfig
) -> None:
    graphstore = GraphstoreConfig(redis_url=redis_url, database_url=f"sqlite:///{tmp_path / 'graph.db'}")
    register(sqlite_engine, "m1")
    stop = threading.Event()
    thread = threading.Thread(
        target=run_publisher,
        args=(ServingConfig(), graphstore, stream_config, stop),
        # The registry is looked at once an hour: what comes sooner came by the topic.
        kwargs={"load": toy_opened(), "reconcile_seconds": 3600},
    )
    thread.start()
    try:
        wait_for(redis, "m1")
        with write(sqlite_engine) as connection:
            connection.execute(update(models).values(status="retired"))
        register(sqlite_engine, "m2")
        with EventProducer(stream_config) as producer:
            announcement = ModelAnnouncement(event_time=utc(LATELY), model_version="m2", status="champion", bundle="m2")
            producer.send(MODELS, announcement, key="m2")
        wait_for(redis, "m2")
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


def test_without_a_broker_the_registry_suffices(
    redis: Redis, redis_url: str, tmp_path: Path, sqlite_engine: Engine, kafka_away: StreamConfig
) -> None:
    graphstore = GraphstoreConfig(redis_url=redis_url, database_url=f"sqlite:///{tmp_path / 'graph.db'}")
    register(sqlite_engine, "m1")
    stop = threading.Event()
    thread = threading.Thread(
        target=run_publisher, args=(ServingConfig(), graphstore, kafka_away, stop), kwargs={"load": toy_opened()}
    )
    thread.start()
    try:
        wait_for(redis, "m1")
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("run", [run_publisher, run_nearline])
def test_a_shop_without_a_model_is_ready_and_says_what_it_waits_for(
    run: Callable[..., None],
    redis: Redis,
    redis_url: str,
    tmp_path: Path,
    sqlite_engine: Engine,
    stream_config: StreamConfig,
) -> None:
    graphstore = GraphstoreConfig(redis_url=redis_url, database_url=f"sqlite:///{tmp_path / 'graph.db'}")
    port = free_ports(len(PROBED_PROCESSES))
    config = stream_config.model_copy(update={"probe_port": port})
    url = f"http://127.0.0.1:{config.probe_port_of(run.__name__.removeprefix('run_'))}/readyz"
    stop = threading.Event()
    load = toy_load() if run is run_nearline else toy_opened()
    thread = threading.Thread(target=run, args=(ServingConfig(), graphstore, config, stop), kwargs={"load": load})
    thread.start()
    try:
        wait_until(lambda: FIRST_MODEL in answer_of(url), told=lambda: f"not ready: {answer_of(url)}")
        register(sqlite_engine, "m1")
        if run is run_nearline:
            Publisher(ShopSource(sqlite_engine, 10), redis, ServingConfig(), load=toy_opened()).reconcile()
            wait_until(lambda: '"model": "ok"' in answer_of(url), told=lambda: answer_of(url))
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


def answer_of(url: str) -> str:
    """What a ready process answers; empty where it does not answer or is not ready."""
    try:
        with urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


@pytest.mark.service
def test_a_publication_that_a_full_redis_stops_leaves_room_for_the_others(
    sqlite_engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(300):
        touch(sqlite_engine, f"shopper{number}", "apple", LATELY)
    register(sqlite_engine, "m1")
    with own_redis(tmp_path / "redis") as redis:
        publisher = Publisher(ShopSource(sqlite_engine), redis, ServingConfig(), load=toy_opened())
        publisher.reconcile(now=lambda: LATELY + 9)
        with write(sqlite_engine) as connection:
            connection.execute(update(models).values(status="kept"))
        register(sqlite_engine, "m2")
        stopped = redis.dbsize()
        redis.config_set("maxmemory", redis.info("memory")["used_memory"] + 30_000)
        with pytest.raises(OutOfMemoryError):
            publisher.reconcile(now=lambda: LATELY + 9)
        assert cache.champion(redis) == "m1"
        assert not keys_of(redis, "m2")
        assert redis.dbsize() == stopped
        assert "the unfinished lists of m2 are deleted" in caplog.text
        redis.config_set("maxmemory", 0)
        publisher.reconcile(now=lambda: LATELY + 9)
        assert cache.champion(redis) == "m2"
