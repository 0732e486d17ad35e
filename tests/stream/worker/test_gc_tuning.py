"""The collector looks seldom, and cycles still go."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from stream.worker.gc_tuning import YOUNG_OBJECTS, collect_seldom


class Node:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("as_before")
def test_cycles_still_go() -> None:
    collect_seldom()
    assert gc.get_threshold()[0] == YOUNG_OBJECTS
    assert gc.get_freeze_count() > 0
    gone = weakref.ref(Node())
    kept = []
    while gone() is not None:  # until a collection of its own accord
        kept.append(Node())
        assert len(kept) < 20 * YOUNG_OBJECTS
    assert kept
