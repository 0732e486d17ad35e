"""Publisher and near-line with a real bundle: closed-form terms on a toy shop, weights by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from redis import Redis
from sqlalchemy import Engine, select, update

from graphstore import ingest
from graphstore.redis.changes import announce
from graphstore.session import write
from graphstore.tables import items, models
from graphstore.upserts import ItemRow, upsert_items
from serving import cache
from serving.cache import ListReader
from serving.config import ServingConfig
from serving.nearline import NearLine
from serving.publisher import Publisher
from serving.source import ShopSource
from serving.touch_queue import Touch
from tests.serving.toy import NAMES, register, touch
from training.blend.blend import Blend
from training.data.event_log import EventLog
from training.models.bundle import save_bundle
from training.models.recommender import Recommender
from training.terms.filter_bank import FilterBank
from training.terms.linear_filter import LinearFilter
from training.terms.repeat import PersonalRepeat
from training.terms.trend import Trend

HOUR_MS = 3_600_000
T0 = 1_700_000_000_000
BASKETS = {"ann": "apple apple bread", "bob": "bread cheese", "cyd": "cheese dates cheese", "dan": "dates dates dates"}


def fit(source: ShopSource, directory: Path) -> Path:
    """A model that repeats: what a shopper touched, then what goes with it, then the trend."""
    catalogue = source.items()
    row_of = {item.item_key: row for row, item in enumerate(catalogue)}
    users = [key for key, _ in source.users()]
    events = sorted(
        (time, row, row_of[key], kind)
        for row, history in enumerate(source.histories(users))
        for key, time, kind in history
    )
    columns = np.array(events, dtype=np.int64)
    log = EventLog(
        users=columns[:, 1],
        items=columns[:, 2],
        times=columns[:, 0],
        types=columns[:, 3].astype(np.int8),
        weights=np.ones(len(events), dtype=np.float32),
        num_users=len(users),
        num_items=len(catalogue),
    )
    terms = [FilterBank([LinearFilter.fit(log)]), Trend.fit(log), PersonalRepeat.fit(log)]
    names = tuple(name for term in terms for name in term.feature_names)
    weights = tuple({"repeat": 1.0, "trend": 0.1, "filter": 0.02}[name.partition("_")[0]] for name in names)
    blend = Blend(
        feature_names=names,
        scale=(1.0,) * len(names),
        warm=weights,
        activity=(0.0,) * len(names),
        activity_mean=0.0,
        activity_sd=1.0,
        cold=None,
        unknown=tuple(1.0 if name.startswith("trend") else 0.0 for name in names),
    )
    recommender = Recommender(
        model_version="real",
        kind="closed_form",
        as_of=int(columns[-1, 0]) + 1,
        repeats=True,
        item_ids=[item.item_id for item in catalogue],
        item_keys=np.array([item.item_key for item in catalogue], dtype=np.int64),
        available=np.ones(len(catalogue), dtype=np.bool_),
        terms=terms,
        blend=blend,
    )
    return save_bundle(recommender, directory, snapshot_id="s", parent=None, metrics={}, config={})


def test_a_real_model_is_published_and_follows_an_event(redis: Redis, sqlite_engine: Engine, tmp_path: Path) -> None:
    time = T0
    for user, basket in BASKETS.items():
        for item in basket.split():
            time += HOUR_MS
            touch(sqlite_engine, user, item, time)
    for name in NAMES:
        touch(sqlite_engine, "first", name, T0)
    source = ShopSource(sqlite_engine, 100)
    names = {item.item_key: item.item_id for item in source.items()}
    bundle = fit(source, tmp_path)
    register(sqlite_engine, "real")
    with write(sqlite_engine) as connection:
        connection.execute(update(models).values(bundle=str(bundle)))
    config = ServingConfig(list_length=4)
    now = time + HOUR_MS

    def listed(user: str) -> list[str]:
        found = ListReader(redis, 0).of_user("real", user)
        assert found
        return [names[key] for key in found[1].item_keys.tolist()]

    (done,) = Publisher(source, redis, config).reconcile(now=lambda: now)
    assert (done.users, done.items) == (5, 5)
    assert listed("ann")[0] == "apple"
    assert listed("dan")[0] == "dates"
    assert all(len(listed(user)) == 4 for user in BASKETS)
    popular = ListReader(redis, 0).popular("real")
    assert popular and names[int(popular.item_keys[0])] == "dates"
    similar = ListReader(redis, 0).similar("real", ["bread"])[0]
    assert similar and {names[key] for key in similar.item_keys.tolist()} <= set(NAMES) - {"bread"}

    near = NearLine(source, redis, config)
    assert near.follow(now=lambda: now + 1)
    for n in range(4):
        touch(sqlite_engine, "dan", "elder", now + 10 + n)
        touch(sqlite_engine, "eve", "cheese", now + 10 + n)
    touched = Touch(now + 13, now + 20)
    assert near.refresh({"dan": touched, "eve": touched}, now=lambda: now + 40) == 2
    assert listed("dan")[:2] == ["elder", "dates"]
    assert listed("eve")[0] == "cheese"  # nobody knew eve when the model was made
    raw = redis.get(cache.near_key("real", "dan"))
    assert isinstance(raw, bytes)
    assert cache.unpack_as_of(raw) == now + 40


def stocked(engine: Engine, number: int) -> list[str]:
    """Items of which two dozen have sold, with the shoppers of these."""
    names = [f"item-{n:03}" for n in range(number)]
    with write(engine) as connection:
        upsert_items(connection, [ItemRow(name, name, [], "", 1.0, True, T0) for name in names])
        events = [
            ingest.InteractionRow(f"e{n}", 3, f"shopper-{n % 12}", names[n % 24], T0 + n, None, None, None, None)
            for n in range(120)
        ]
        ingest.ingest_interactions(connection, events, now=T0 + 1_000)
    return names


def sell_out(engine: Engine, redis: Redis, names: Sequence[str]) -> None:
    with write(engine) as connection:
        connection.execute(update(items).where(items.c.item_id.in_(names)).values(stock=0))
        keys = connection.scalars(select(items.c.item_key).where(items.c.item_id.in_(names))).all()
    pipeline = redis.pipeline()
    announce(pipeline, list(keys))
    pipeline.execute()


def test_a_sell_out_leaves_full_lists_while_enough_can_be_bought(
    redis: Redis, sqlite_engine: Engine, tmp_path: Path
) -> None:
    """95 % of 667 items are sold out, the best sellers among them: 33 can be bought, so a list of 20 has 20."""
    names = stocked(sqlite_engine, 667)
    source = ShopSource(sqlite_engine, 100)
    register(sqlite_engine, "real")
    with write(sqlite_engine) as connection:
        connection.execute(update(models).values(bundle=str(fit(source, tmp_path))))
    redis.set(cache.CHAMPION, "real")
    config = ServingConfig(list_length=20)
    near = NearLine(source, redis, config)
    now = T0 + 2 * HOUR_MS
    assert near.follow(now=lambda: now)
    sell_out(sqlite_engine, redis, names[:634])
    near.freshen(now=now + 500)
    touch(sqlite_engine, "shopper-1", names[2], now + 600)
    touched = Touch(now + 600, now + 600)
    assert near.refresh({"shopper-1": touched}, now=lambda: now + 700) == 1

    bought = {item.item_key for item in source.items() if item.available}
    assert len(bought) == 33

    def listed(found: cache.PackedList | None) -> list[int]:
        assert found is not None
        return found.item_keys.tolist()

    reader = ListReader(redis, 0)
    lists = [listed(reader.popular("real"))]
    of_user = reader.of_user("real", "shopper-1")
    assert of_user
    lists.append(listed(of_user[1]))

    redis.flushall()  # and a publication in the middle of it writes full lists, too
    Publisher(source, redis, config).reconcile(now=lambda: now + 800)
    reader = ListReader(redis, 0)
    for user in ("shopper-1", "shopper-7"):
        of_user = reader.of_user("real", user)
        assert of_user
        lists.append(listed(of_user[1]))
    lists.append(listed(reader.popular("real")))
    for found in lists:
        assert len(found) == 20
        assert len({*found} & bought) == 20
