"""A data set as a shop that grows: what a snapshot of a time may hold."""

import numpy as np
import pytest

from benchmarks.replay import HIN, Replay, read_set
from graphstore.catalogue import Catalogue
from tests.training.checkerboard import DAY_MS, make_log
from training.data.dataset import Dataset
from training.data.offline import OfflineDataset

NUM_DAYS = 20


@pytest.fixture
def data() -> OfflineDataset:
    """One user and one item more each day; the ids run against the time."""
    rows = [
        (NUM_DAYS - 1 - day, item, day * DAY_MS)
        for day in range(NUM_DAYS)
        for item in range(NUM_DAYS - 1 - day, NUM_DAYS)
    ]
    return OfflineDataset(
        log=make_log(rows, num_users=NUM_DAYS, num_items=NUM_DAYS),
        user_ids=[f"u{user}" for user in range(NUM_DAYS)],
        item_ids=[f"i{item}" for item in range(NUM_DAYS)],
        catalogue=Catalogue(
            titles=[f"thing {item}" for item in range(NUM_DAYS)],
            categories=[[] for _ in range(NUM_DAYS)],
            brands=[""] * NUM_DAYS,
            prices=np.arange(NUM_DAYS, dtype=np.float32),
            available=np.ones(NUM_DAYS, dtype=np.bool_),
        ),
    )


def test_a_snapshot_knows_nothing_that_comes_later(data):
    replay = Replay.of(data, first_share=0.5, slices=4)
    snapshot = replay.snapshot(5 * DAY_MS)
    assert (snapshot.num_users, snapshot.num_items) == (5, 5)
    assert sorted(snapshot.item_ids) == [f"i{item}" for item in range(15, 20)]
    assert snapshot.catalogue.titles == [f"thing {name[1:]}" for name in snapshot.item_ids]
    dataset = Dataset.from_snapshot(snapshot)
    assert dataset.as_of == 4 * DAY_MS + 1
    later = replay.snapshot(6 * DAY_MS)
    assert later.item_ids[:5] == snapshot.item_ids  # rows stay
    events = zip(data.log.users, data.log.items, data.log.times, strict=True)
    expected = {(f"i{item}", time) for _, item, time in events if time < 5 * DAY_MS}
    found = zip(dataset.log.items, dataset.log.times, strict=True)
    assert {(snapshot.item_ids[item], time) for item, time in found} == expected


def test_slices_are_even_and_no_time_is_cut_in_two(data):
    replay = Replay.of(data, first_share=0.5, slices=4)
    sizes = [
        len(replay.log.between(int(a), int(b))) for a, b in zip(replay.bounds[:-1], replay.bounds[1:], strict=True)
    ]
    assert len(replay.log.between(end=int(replay.bounds[0]))) + sum(sizes) == len(data.log)
    assert len(sizes) == 4
    assert max(sizes) - min(sizes) <= 2 * NUM_DAYS  # a day has up to NUM_DAYS events
    assert (replay.bounds[:-1] % DAY_MS == 0).all()
    assert len(Replay.of(data, first_share=0.5, slices=1_000).bounds) - 1 < NUM_DAYS


def test_files_need_their_folder():
    with pytest.raises(ValueError, match="--data"):
        read_set(HIN, None, max_users=None, seed=0)
