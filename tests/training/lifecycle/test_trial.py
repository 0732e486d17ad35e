"""Trials: who is compared with whom, on what neither has seen."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sqlalchemy import Connection, insert, select

from graphstore.session import write
from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.snapshot import build_snapshot
from graphstore.tables import interactions, items
from tests.training import toy_shop
from training.baselines.gate import LINEAR_ITEM_MODEL, PERSONAL_FREQUENCY, RECENT_POPULARITY
from training.config import SageConfig, TrainingConfig
from training.features.items import ItemEncoder
from training.features.snapshot_features import featurize
from training.lifecycle.registry import CHAMPION
from training.lifecycle.trial import TrialResult, full_trial, incremental_trial
from training.models.bundle import load_bundle, save_bundle
from training.models.recommender import Recommender
from training.options import TrainingOptions
from training.terms.trend import Trend

CONFIG = TrainingConfig(sage=SageConfig(dim=8, max_steps=15, batch_size=128, learning_rate=0.02), gate_min_users=5)


@pytest.fixture
def shop(sqlite_engine, tmp_path: Path):
    """Takes a snapshot of the shop after so many days."""
    with write(sqlite_engine) as connection:
        toy_shop.open_shop(connection, days=10)
    traded = 10

    def snapshot(days: int) -> Snapshot:
        nonlocal traded
        with write(sqlite_engine) as connection:
            if days > traded:
                toy_shop.trade(connection, first_day=traded, days=days - traded)
                traded = days
            as_of = toy_shop.closing_time(connection)
        return build_snapshot(sqlite_engine, tmp_path / "snapshots", as_of=as_of, created_at=0, featurize=featurize)

    return snapshot


def full(snapshot: Snapshot, *, kind="closed_form", champion: Recommender | None = None) -> TrialResult:
    return full_trial(snapshot, kind=kind, champion=champion, config=CONFIG, options=TrainingOptions(seed=0))


def published(trial: TrialResult, directory: Path, version: str) -> Path:
    trial.learn_test_window()
    model = trial.recommender(version, kind="closed_form", fresh=True)
    return save_bundle(model, directory, snapshot_id="s", parent=None, metrics={}, config={})


def test_the_first_trial_learns_the_habits(shop):
    trial = full(shop(10))
    assert trial.repeats  # by itself: shoppers come back to what they know
    assert list(trial.comparison) == [RECENT_POPULARITY, LINEAR_ITEM_MODEL, PERSONAL_FREQUENCY]
    ours, popular = (e.metrics()["ndcg@20"] for e in (trial.evaluation, trial.comparison[RECENT_POPULARITY]))
    assert ours > popular + 0.2
    assert trial.evaluation.metrics()["recall@10"] == 1.0  # four favourites


def test_a_closed_form_champion_on_the_same_snapshot_is_rebuilt(shop, tmp_path):
    snapshot = shop(10)
    champion = load_bundle(published(full(snapshot), tmp_path, "m1"))
    trial = full(snapshot, kind="graphsage", champion=champion)
    assert champion.as_of > trial.split.test
    assert trial.notes == ["the champion was rebuilt without the test window"]
    assert trial.encoder is not None
    rebuilt, alone = trial.comparison[CHAMPION], full(snapshot).evaluation
    np.testing.assert_allclose(rebuilt.per_user["ndcg@20"], alone.per_user["ndcg@20"])


def test_a_champion_that_ends_earlier_is_compared_as_it_is(shop, tmp_path):
    path = published(full(shop(10)), tmp_path, "m1")
    champion = load_bundle(path)
    trial = full(shop(12), champion=champion)
    assert trial.split.test >= champion.as_of
    assert trial.notes == []
    assert CHAMPION in trial.comparison
    assert (trial.comparison[CHAMPION].users == trial.evaluation.users).all()


def test_a_sage_champion_that_has_seen_the_window_is_said_aloud(shop, tmp_path):
    snapshot = shop(10)
    champion = load_bundle(published(full(snapshot, kind="graphsage"), tmp_path, "m1"))
    trial = full(snapshot, champion=champion)
    assert trial.notes == ["the champion has seen the test window: the comparison favours it"]


def test_items_of_the_later_windows_change_nothing_in_the_encoder(shop, sqlite_engine):
    """New items that are sold on the last day alone: the encoder must not know their words."""
    shop(10)
    with write(sqlite_engine) as connection:
        words = {"item_key": 100, "item_id": "new", "title": "novelty", "categories": '["gadgets"]', "updated_at": 1}
        twin = {**words, "item_key": 101, "item_id": "twin"}  # a word of one text alone would be none
        connection.execute(insert(items), [words, twin])
        rows = [
            {
                "event_id": f"new-{item}-{user}",
                "event_type": 3,
                "user_key": user + 1,
                "item_key": item,
                "event_time": toy_shop.OPENING + 9 * toy_shop.DAY_MS + user * 60_000 + 1,
                "ingest_time": 0,
            }
            for item in (100, 101)
            for user in range(toy_shop.NUM_USERS)
        ]
        connection.execute(insert(interactions), rows)
    snapshot = shop(10)
    trial = full(snapshot, kind="graphsage")
    assert {"new", "twin"} < set(trial.dataset.item_ids)
    known = trial.dataset.log.between(end=trial.split.validation).items
    assert trial.dataset.item_ids.index("new") not in known
    assert trial.encoder is not None
    assert trial.encoder.text.words == ["odd", "thing"]  # "even" is a stop word
    kept = ItemEncoder.from_state(snapshot.encoders["item"])
    assert kept.text.words == trial.encoder.text.words
    assert torch.equal(kept.transform(snapshot.catalogue), snapshot.stores["item"]["x"])


@pytest.mark.parametrize("kind", ["closed_form", "graphsage"])
def test_an_incremental_trial_goes_on_from_the_champion(shop, tmp_path, sqlite_engine, kind):
    path = published(full(shop(10), kind=kind), tmp_path, "m1")
    with write(sqlite_engine) as connection:
        # A new item that everybody buys from now on.
        connection.execute(insert(items).values(item_key=100, item_id="new", title="thing new", updated_at=1))
        for day in (10, 11, 12, 13):
            rows = [
                {
                    "event_id": f"new-{day}-{user}",
                    "event_type": 3,
                    "user_key": user + 1,
                    "item_key": 100,
                    "event_time": toy_shop.OPENING + day * toy_shop.DAY_MS + user * 60_000,
                    "ingest_time": 0,
                }
                for user in range(toy_shop.NUM_USERS)
            ]
            connection.execute(insert(interactions), rows)
    trial = incremental_trial(shop(14), champion_bundle=path, config=CONFIG, options=TrainingOptions(seed=0))
    champion = load_bundle(path)
    assert champion.as_of < trial.split.validation < trial.split.test
    assert trial.dataset.item_ids == [*champion.item_ids, "new"]
    assert list(trial.comparison) == [RECENT_POPULARITY, CHAMPION]  # an update tunes no other baseline
    known = trial.dataset.log.between(end=trial.split.test)
    counted = Trend.fit(known, (trial.popularity.half_life_hours,))
    nobody = known.histories(np.array([0]), before=0)
    torch.testing.assert_close(
        trial.popularity(nobody, as_of=trial.split.test), counted.score(nobody, as_of=trial.split.test)[:, :, 0]
    )
    trial.learn_test_window()
    histories = trial.dataset.log.histories(np.arange(5))
    scores = trial.candidate(histories, as_of=trial.dataset.as_of)
    assert (scores.argsort(dim=1, descending=True)[:, :8] == len(champion.item_ids)).any(dim=1).all()
    ours, theirs = (e.metrics()["recall@10"] for e in (trial.evaluation, trial.comparison[CHAMPION]))
    assert ours > theirs  # the champion cannot know the new item


FASHION_ITEMS = 4


def follow_fashions(connection: Connection, fashions: dict[int, int]) -> None:
    """By day: everybody buys two items of a fashion, whose items nobody sold before."""
    for day, fashion in fashions.items():
        keys = [100 + FASHION_ITEMS * fashion + place for place in range(FASHION_ITEMS)]
        known = set(connection.scalars(select(items.c.item_key)))
        new = [{"item_key": key, "item_id": f"f{key}", "updated_at": 1} for key in keys if key not in known]
        if new:
            connection.execute(insert(items), new)
        rows = [
            {
                "event_id": f"fashion-{day}-{user}-{place}",
                "event_type": 3,
                "user_key": user + 1,
                "item_key": keys[(user + place) % FASHION_ITEMS],
                "event_time": toy_shop.OPENING + day * toy_shop.DAY_MS + user * 60_000 + place,
                "ingest_time": 0,
            }
            for user in range(toy_shop.NUM_USERS)
            for place in range(2)
        ]
        connection.execute(insert(interactions), rows)


def test_an_update_weighs_new_items_that_all_want(shop, tmp_path, sqlite_engine):
    """Half of the new purchases are of items that the champion cannot list, so it cannot tell how to weigh them."""
    with write(sqlite_engine) as connection:
        follow_fashions(connection, {day: day // 2 for day in range(10)})
    path = published(full(shop(10)), tmp_path, "m1")
    with write(sqlite_engine) as connection:
        follow_fashions(connection, dict.fromkeys((10, 11, 12), 99))
    trial = incremental_trial(shop(13), champion_bundle=path, config=CONFIG, options=TrainingOptions(seed=0))
    ours, popular = (e.metrics()["ndcg@20"] for e in (trial.evaluation, trial.comparison[RECENT_POPULARITY]))
    assert ours > popular + 0.2  # the shoppers' own favourites come on top; with the champion's weights it is + 0.1
