"""A ranker in its own process: the same lists as in this one, and a death that is told."""

from pathlib import Path

import numpy as np
import psutil
import pytest

from graphstore.catalogue import Item
from graphstore.tables import HOUR_MS
from serving.ranker import load_ranker, rank
from serving.ranker_process import RankerProcess, ranker_process
from training.models.new_items import NewItems
from training.process import SpawnedProcess, SpawnedProcessFailed

pytestmark = pytest.mark.slow

BUNDLE = next(iter(sorted((Path(__file__).parents[1] / "fixtures/released/0.1.0/bundles").glob("*/"))))


def test_it_ranks_as_the_model_in_this_process_does_and_leaves_no_process() -> None:
    mine = load_ranker(BUNDLE)
    now = mine.as_of + HOUR_MS
    past = [[], [(int(mine.item_keys[0]), mine.as_of - HOUR_MS, 1)]]
    newer = [np.array([mine.as_of // HOUR_MS]), mine.item_keys[-1:], np.array([500])]
    before = set(psutil.Process().children())
    with ranker_process(BUNDLE) as theirs:
        assert (theirs.model_version, theirs.item_ids, theirs.as_of) == (mine.model_version, mine.item_ids, mine.as_of)
        old = rank(theirs, past, as_of=now, k=3)
        assert old == rank(mine, past, as_of=now, k=3)
        for ranker in (theirs, mine):
            ranker.refresh_trend(*newer)
        new = rank(theirs, past, as_of=now, k=3)
        assert new == rank(mine, past, as_of=now, k=3)
        assert new != old
        later = NewItems([Item(999_999, "later", title="Later")])
        for ranker in (theirs, mine):
            ranker.extend(later)
            ranker.set_available(np.arange(len(ranker.item_keys)) % 2 == 0)
        assert theirs.item_ids == mine.item_ids
        assert theirs.item_ids[-1] == "later"
        assert (theirs.item_keys == mine.item_keys).all()
        assert theirs.num_trained == mine.num_trained == len(mine.item_keys) - 1
        assert rank(theirs, past, as_of=now, k=3) == rank(mine, past, as_of=now, k=3)
        assert (theirs.item_vectors() is None) == (mine.item_vectors() is None)
        for found, wanted in zip(theirs.similar(2), mine.similar(2), strict=True):
            assert (found == wanted).all()
        children = set(psutil.Process().children()) - before
        (ours,) = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    assert not ours.is_running()


def test_a_killed_process_is_an_error_that_a_publisher_tries_again_after() -> None:
    with SpawnedProcess() as process:
        ranker = RankerProcess(process, BUNDLE)
        process.kill()
        with pytest.raises(SpawnedProcessFailed, match="SIGKILL"):
            ranker.similar(2)
