"""Forgetting everywhere: what goes from where, what a kill leaves to do, and who writes a list at a bad moment."""

from pathlib import Path
from typing import Any, Literal

import pytest
from redis import Redis
from sqlalchemy import Engine, text
from torch import load

from graphstore import erase
from graphstore.config import GraphstoreConfig
from graphstore.identities import IdentityRow, ingest_identities
from graphstore.redis import hot, shown
from graphstore.redis.lifetime import Lifetime
from graphstore.session import write
from graphstore.snapshots.files import load_snapshot
from graphstore.snapshots.snapshot import build_snapshot
from serving import cache, forget
from serving.routing import ROUTING, Routing, encode, probation
from serving.source import ShopSource
from stream import events
from stream.config import StreamConfig
from stream.kafka.clients import open_consumer
from tests.serving.toy import KEYS, register, touch
from tests.training.toy_shop import NUM_USERS, closing_time, open_shop
from training.config import SageConfig, TrainingConfig
from training.lifecycle.run import RunSpec, run_training
from training.options import TrainingOptions

T0 = 1_700_000_000_000
NOW = T0 + 1_000


@pytest.fixture
def shop(engine: Engine, redis: Redis, tmp_path: Path) -> Path:
    """Ann with a session, Bob, lists of four models, two of which serve, and a snapshot; where the snapshots are."""
    for number, (user, item) in enumerate([("ann", "apple"), ("s1", "bread"), ("bob", "apple")]):
        touch(engine, user, item, T0 + number)
        hot.record(redis, [(user, item, T0)], keep=5, bought=[(user, item, T0)])
        shown.record(redis, [(user, "cheese", T0)], Lifetime(T0))
    with write(engine) as connection:
        ingest_identities(connection, [IdentityRow("s1", "ann", T0)])
    register(engine, "m1")
    register(engine, "m2", status="kept")
    packed = cache.pack(KEYS, KEYS, as_of=T0)
    for version in ("m1", "m2", "unregistered", "previous"):
        lists = {
            key(version, user): packed for user in ("ann", "s1", "bob") for key in (cache.recs_key, cache.near_key)
        }
        cache.write_lists(redis, lists)
    redis.set(cache.CHAMPION, "unregistered")
    redis.set(ROUTING, encode(Routing((probation("previous", 0.1, salt="x"),))))
    build_snapshot(engine, tmp_path / "snapshots", as_of=NOW, created_at=NOW)
    return tmp_path / "snapshots"


def run(engine: Engine, redis: Redis | None, config: StreamConfig, directory: Path, user: str = "ann") -> erase.Erasure:
    return forget.forget(engine, redis, config, directory, user, now=lambda: NOW)


def named(redis: Redis, *users: str) -> list[bytes]:
    """The keys that name one of the users."""
    return [key for key in redis.scan_iter() if key.decode().rpartition(":")[2] in users]


def test_nothing_is_left_but_the_tombstones(engine: Engine, redis: Redis, shop: Path, kafka_away: StreamConfig) -> None:
    others = sorted(named(redis, "bob"))
    done = run(engine, redis, kafka_away, shop, "s1")
    assert (done.ids, done.requested_at, done.completed_at) == (["ann", "s1"], NOW, NOW)
    receipt = done.receipt
    assert receipt["sql"]["interactions"] == receipt["sql"]["edges"] == receipt["sql"]["users"] == 2
    assert receipt["redis"] == {"remembered": 8, "lists": 16}
    assert receipt["snapshots"] == {"rewritten": 1, "events": 2, "deleted": 0, "elsewhere": "none"}
    assert receipt["bundles"] == "none hold user rows"
    assert receipt["kafka"]["reached"] is False
    assert not named(redis, "ann", "s1")
    assert sorted(named(redis, "bob")) == others
    (path,) = [path for path in shop.iterdir() if not path.name.startswith(".")]
    assert load_snapshot(path).user_ids == ["bob"]
    assert not [file for file in path.iterdir() if b'"ann"' in file.read_bytes() or b'"s1"' in file.read_bytes()]


def test_a_second_run_finds_nothing_more(engine: Engine, redis: Redis, shop: Path, kafka_away: StreamConfig) -> None:
    first = run(engine, redis, kafka_away, shop)
    assert run(engine, redis, kafka_away, shop) == first


@pytest.mark.parametrize("step", ["hot.forget", "drop_lists", "erase_from_snapshots", "_tell_kafka"])
def test_a_second_run_completes_what_was_interrupted(
    engine: Engine, redis: Redis, shop: Path, kafka_away: StreamConfig, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(f"serving.forget.{step}", die)
        with pytest.raises(KeyboardInterrupt):
            run(engine, redis, kafka_away, shop)
    (begun,) = erase.list_erasures(engine)
    assert (begun.ids, begun.completed_at) == (["ann", "s1"], None)
    done = run(engine, redis, kafka_away, shop)
    assert done.completed_at == NOW
    assert done.receipt["sql"]["interactions"] == 2
    assert done.receipt["redis"] == {"remembered": 8, "lists": 16}
    assert done.receipt["snapshots"]["events"] == 2
    assert not named(redis, "ann", "s1")


def test_without_redis_the_rest_is_done_and_the_erasure_stays_open(
    engine: Engine, redis: Redis, shop: Path, kafka_away: StreamConfig
) -> None:
    done = run(engine, None, kafka_away, shop)
    assert (done.completed_at, "redis" in done.receipt) == (None, False)
    assert done.receipt["snapshots"]["rewritten"] == 1
    assert named(redis, "ann", "s1")
    again = run(engine, redis, kafka_away, shop)
    assert (again.completed_at, again.receipt["redis"]["lists"]) == (NOW, 16)
    assert not named(redis, "ann", "s1")


def test_an_id_that_nobody_knows(engine: Engine, redis: Redis, tmp_path: Path, kafka_away: StreamConfig) -> None:
    done = run(engine, redis, kafka_away, tmp_path / "none", "ghost")
    assert done.completed_at == NOW
    assert (done.receipt["redis"], done.receipt["snapshots"]["rewritten"]) == ({"remembered": 0, "lists": 0}, 0)


def test_kafka_forgets_the_attributes_and_says_how_long_it_keeps_the_rest(
    sqlite_engine: Engine, redis: Redis, tmp_path: Path, stream_config: StreamConfig
) -> None:
    with write(sqlite_engine) as connection:
        ingest_identities(connection, [IdentityRow("s1", "ann", T0)])
    told = run(sqlite_engine, redis, stream_config, tmp_path).receipt["kafka"]
    assert (told["reached"], told["attributes withdrawn"]) == (True, 2)
    assert told["raw events until"].keys() == set(forget.TOPICS_OF_USERS)
    kept = told["raw events until"][events.INTERACTIONS]
    assert kept in {"not told by the broker", "2023-11-21T22:13:21+00:00"}  # Apache Kafka keeps seven days
    consumer = open_consumer(
        stream_config, events.USERS, auto_offset_reset="earliest", group_id=None, consumer_timeout_ms=10_000
    )
    nulls: set[bytes] = set()
    for record in consumer:
        assert record.value is None
        nulls.add(record.key)
        if len(nulls) == 2:
            break
    consumer.close()
    assert nulls == {b"ann", b"s1"}


def test_lists_are_found_in_bounded_bites(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "KEYS_AT_ONCE", 3)
    packed = cache.pack(KEYS, KEYS, as_of=T0)
    cache.write_lists(redis, {cache.recs_key("m1", f"u{n}"): packed for n in range(10)})
    assert forget.drop_lists(redis, ["m1", "m2"], [f"u{n}" for n in range(9)]) == 9
    assert redis.keys() == [b"recs:m1:u9"]


def test_whoever_wrote_lists_deletes_those_of_the_forgotten(sqlite_engine: Engine, redis: Redis) -> None:
    erase.erase_person(sqlite_engine, "ann", now=NOW)
    source = ShopSource(sqlite_engine, 10)
    packed = cache.pack(KEYS, KEYS, as_of=T0)
    cache.write_lists(redis, {cache.near_key("m1", user): packed for user in ("ann", "bob")})
    cache.write_lists(redis, {cache.recs_key("m2", "ann"): packed})
    assert forget.drop_lists_of_erased(redis, source, ["m1", "m2"], ["bob"]) == set()
    assert forget.drop_lists_of_erased(redis, source, ["m1", "m2"], ["ann", "bob"]) == {"ann"}
    assert redis.keys() == [b"near:m1:bob"]
    assert forget.drop_lists_of_erased(redis, source, "m1") == {"ann"}


@pytest.mark.parametrize("kind", ["closed_form", "graphsage"])
def test_bundles_hold_no_user_rows(
    sqlite_engine: Engine, tmp_path: Path, kind: Literal["closed_form", "graphsage"]
) -> None:
    with write(sqlite_engine) as connection:
        open_shop(connection, days=10)
        connection.execute(text("UPDATE users SET user_id = 'shopper-' || user_id"))
        now = closing_time(connection)
    trained = run_training(
        sqlite_engine,
        RunSpec(kind, "test"),
        graph=GraphstoreConfig(state_dir=tmp_path),
        config=TrainingConfig(sage=SageConfig(dim=8, max_steps=15, batch_size=128)),
        now=lambda: now,
        options=TrainingOptions(seed=0),
    )
    assert b"shopper-" in next((tmp_path / "snapshots").glob("s*/mappings.json")).read_bytes()
    files = [file for file in Path(trained.bundle).rglob("*") if file.is_file()]
    tensors = [found for file in files if file.suffix == ".pt" for found in _tensors(load(file, weights_only=True))]
    assert tensors
    assert not [file.name for file in files if b"shopper-" in file.read_bytes()]
    assert not [name for name, tensor in tensors if NUM_USERS in tensor.shape]  # nor a row each without a name


def _tensors(state: Any, name: str = "") -> list[tuple[str, Any]]:
    if hasattr(state, "shape"):
        return [(name, state)]
    if isinstance(state, dict):
        return [found for key, value in state.items() for found in _tensors(value, f"{name}.{key}")]
    if isinstance(state, list | tuple):
        return [found for value in state for found in _tensors(value, name)]
    return []
