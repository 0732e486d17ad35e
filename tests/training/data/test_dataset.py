"""Item orders and cuts in time."""

from pathlib import Path

import numpy as np
import pytest

from graphstore.session import write
from graphstore.snapshots.snapshot import build_snapshot
from tests.training import toy_shop
from tests.training.checkerboard import make_log
from training.data.dataset import (
    Dataset,
    TooFewEvents,
    full_split,
    incremental_split,
    repeats_are_usual,
)

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
