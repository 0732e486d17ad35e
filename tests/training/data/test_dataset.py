"""Item orders and cuts in time."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphstore.catalogue import Catalogue
from graphstore.retention import DAY_MS
from graphstore.session import write
from graphstore.snapshots.eventlog import Seen
from graphstore.snapshots.snapshot import build_snapshot
from graphstore.tables import HOUR_MS
from tests.training import toy_shop
from tests.training.checkerboard import make_log
from training.data.dataset import (
    Dataset,
    TimeSplit,
    TooFewEvents,
    full_split,
    incremental_split,
    repeats_are_usual,
)
from training.data.event_log import EventLog
from training.data.newest_events import newest_of_each_user

LOG = make_log([(i % 10, i % 7, 1000 + i // 2) for i in range(200)], num_users=10, num_items=7)


@pytest.fixture
def snapshot(sqlite_engine, tmp_path: Path):
    with write(sqlite_engine) as connection:
        toy_shop.open_shop(connection, days=3)
        as_of = toy_shop.closing_time(connection)
    return build_snapshot(sqlite_engine, tmp_path / "snapshots", as_of=as_of, created_at=0)


def test_a_models_items_come_first(snapshot):
    plain = Dataset.from_snapshot(snapshot)
    assert plain.item_ids == snapshot.item_ids
    assert plain.as_of == snapshot.as_of
    gone, known = 999, [5, 3]
    moved = Dataset.from_snapshot(
        snapshot, first_keys=np.array([gone, *known]), first_ids=["gone", *(f"i{key - 1}" for key in known)]
    )
    assert moved.item_keys.tolist()[:3] == [gone, *known]
    assert sorted(moved.item_keys[1:].tolist()) == snapshot.item_keys.tolist()
    assert (moved.item_keys[moved.log.items] == snapshot.item_keys[plain.log.items]).all()
    assert moved.log.num_items == len(moved.item_ids) == len(moved.catalogue.titles) == toy_shop.NUM_ITEMS + 1
    assert not moved.catalogue.available[0]
    assert moved.catalogue.available[1:].all()
    for row, key in enumerate(moved.item_keys[1:], start=1):
        assert moved.item_ids[row] == f"i{key - 1}"
        assert moved.catalogue.titles[row] == f"thing {'even' if key % 2 else 'odd'}"


def test_of_one_shopper_only_the_newest_events_count(snapshot, monkeypatch):
    plain = Dataset.from_snapshot(snapshot)
    assert plain.left_out == 0
    monkeypatch.setattr("training.data.dataset.newest_of_each_user", lambda users: newest_of_each_user(users, 4))
    bounded = Dataset.from_snapshot(snapshot)
    assert bounded.left_out == len(plain.log) - len(bounded.log) > 0
    assert np.bincount(bounded.log.users).max() == 4
    assert len(bounded.event_keys) == len(bounded.log)
    assert bounded.as_of == plain.as_of
    assert set(bounded.event_keys) < set(plain.event_keys)


def test_a_full_split_takes_the_last_tenths():
    split = full_split(LOG, champion_as_of=None, min_users=5)
    assert (split.validation, split.test) == (1080, 1090)
    assert full_split(LOG, champion_as_of=1050, min_users=5) == split


def test_the_window_begins_where_the_champion_ends():
    split = full_split(LOG, champion_as_of=1094, min_users=5)
    assert (split.validation, split.test) == (1085, 1094)
    # Too few shoppers since: the usual cut, and somebody else must see to it that the comparison is fair.
    assert full_split(LOG, champion_as_of=1099, min_users=5).test == 1090


def test_new_events_are_cut_in_their_middle():
    split = incremental_split(LOG, since=1050)
    assert (split.validation, split.test) == (1066, 1083)


def days(*counts: int) -> EventLog:
    """Dates without clock times: so many events a day, each at midnight."""
    return make_log(
        [(n % 10, n % 7, day * DAY_MS) for day, count in enumerate(counts) for n in range(count)],
        num_users=10,
        num_items=7,
    )


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_dates_are_cut_between_days(counts):
    log = days(*counts)
    if len(counts) < 3:
        with pytest.raises(TooFewEvents):
            full_split(log, champion_as_of=None, min_users=1)
        return
    for split in (full_split(log, champion_as_of=None, min_users=1), incremental_split(log, since=0)):
        assert 0 < split.validation < split.test
        assert {split.validation, split.test} <= set(log.times.tolist())


def test_large_days_are_cut_where_their_shares_are_nearest():
    assert full_split(days(20, 20, 20, 20, 20), champion_as_of=None, min_users=1) == TimeSplit(3 * DAY_MS, 4 * DAY_MS)
    assert incremental_split(days(90, 5, 5), since=0) == TimeSplit(DAY_MS, 2 * DAY_MS)


def test_a_window_after_the_champion_can_be_cut_in_dates_too():
    split = full_split(days(5, 20, 20, 1), champion_as_of=3 * DAY_MS, min_users=1)
    assert split == TimeSplit(2 * DAY_MS, 3 * DAY_MS)


def dataset(log: EventLog, keys: list[int]) -> Dataset:
    catalogue = Catalogue([""] * 7, [()] * 7, [""] * 7, np.full(7, np.nan), np.ones(7, dtype=np.bool_))
    return Dataset(log, [f"i{n}" for n in range(7)], np.arange(1, 8), catalogue, np.array(keys))


def test_events_before_the_model_that_it_has_not_seen_are_late():
    log = make_log([(n % 10, n % 7, 1000 + n) for n in range(12)], num_users=10, num_items=7)
    keys = [1, 9, 2, 3, 10, 4, 5, 11, 12, 13, 14, 15]
    data = dataset(log, keys).since_model(1007, seen=Seen(1007, 5))
    assert data.late is not None
    assert np.flatnonzero(data.late).tolist() == [1, 4]
    assert data.log is log
    unknown = dataset(log, keys).since_model(1007, seen=None)
    assert unknown.late is not None
    assert not unknown.late.any()


@given(st.lists(st.integers(0, 9), min_size=3, max_size=60), st.randoms(use_true_random=False))
def test_one_days_events_are_spread_with_whole_baskets(users, random):
    """Baskets follow in the order of ingestion, within their hour. Nothing else changes."""
    past = [(n % 10, 0, n) for n in range(5)]
    log = make_log([*past, *((user, n % 7, 3 * DAY_MS) for n, user in enumerate(users))], num_users=10, num_items=7)
    keys = list(range(6, 6 + len(users)))
    random.shuffle(keys)
    data = dataset(log, [1, 2, 3, 4, 5, *keys]).since_model(3 * DAY_MS, seen=Seen(3 * DAY_MS, 5))
    new = data.log.between(start=3 * DAY_MS)
    assert (np.diff(data.log.times) >= 0).all()
    assert data.log.times[:5].tolist() == list(range(5))
    assert (new.times // HOUR_MS == 3 * DAY_MS // HOUR_MS).all()
    baskets = set(zip(new.users.tolist(), new.times.tolist(), strict=True))
    assert len(baskets) == len(set(users)) == len({time for _, time in baskets})
    first_key = {user: min(k for k, u in zip(keys, users, strict=True) if u == user) for user in users}
    assert [user for user, _ in sorted(baskets, key=lambda basket: basket[1])] == sorted(first_key, key=first_key.get)
    events = sorted(zip(keys, users, (n % 7 for n in range(len(users))), strict=True))
    assert sorted(zip(data.event_keys[5:].tolist(), new.users.tolist(), new.items.tolist(), strict=True)) == events
    if len(first_key) < 3:
        with pytest.raises(TooFewEvents):
            incremental_split(data.log, since=3 * DAY_MS)
    else:
        split = incremental_split(data.log, since=3 * DAY_MS)
        assert 3 * DAY_MS < split.validation < split.test


def test_events_with_clock_times_are_never_spread():
    log = make_log([(n % 10, n % 7, 1000 + n // 50) for n in range(150)], num_users=10, num_items=7)
    assert dataset(log, list(range(150))).since_model(1000, seen=None).log is log


def test_too_few_events():
    for log in (LOG.between(end=0), LOG.between(1000, 1001)):
        with pytest.raises(TooFewEvents):
            full_split(log, champion_as_of=None, min_users=1)
    for since in (1099, 2000):
        with pytest.raises(TooFewEvents):
            incremental_split(LOG, since=since)


def test_whether_repeats_are_usual():
    again = make_log([(0, 0, 1), (0, 1, 2), (0, 0, 11), (1, 5, 12)], num_users=2, num_items=6)
    assert repeats_are_usual(again, start=10, end=20)  # user 1 has no past and does not count
    never = make_log([(0, 0, 1), (0, 1, 11)], num_users=1, num_items=2)
    assert not repeats_are_usual(never, start=10, end=20)
    assert not repeats_are_usual(never, start=20, end=30)
