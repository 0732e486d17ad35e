"""The lists of strangers and of new items, between two publications."""

import numpy as np
import pytest
from redis import Redis

from graphstore.catalogue import Item
from serving import cache, shared_lists
from serving.cache import ListReader
from serving.config import ServingConfig
from serving.shared_lists import SharedLists
from tests.serving.toy import KEYS, MODEL, NAMES, ToyRanker
from training.models.new_items import NewItems


def similar_to(redis: Redis, *names: str) -> list[list[int] | None]:
    return [
        None if found is None else found.item_keys.tolist()
        for found in ListReader(redis, 0).similar(MODEL, list(names))
    ]


def test_strangers_get_a_list_and_items_of_the_training_keep_what_the_publisher_wrote(redis: Redis) -> None:
    SharedLists(redis, ServingConfig(list_length=3)).write(ToyRanker(), now=7)
    found = ListReader(redis, 0).popular(MODEL)
    assert found
    assert (found.item_keys.tolist(), found.as_of) == (KEYS[:3].tolist(), 7)
    assert similar_to(redis, *NAMES) == [None] * len(NAMES)


def test_a_new_item_gets_its_list_once(redis: Redis) -> None:
    lists, ranker = SharedLists(redis, ServingConfig(similar_length=2)), ToyRanker()
    lists.write(ranker, now=1)
    ranker.extend(NewItems([Item(16, "figs")]))
    lists.write(ranker, now=2)
    assert similar_to(redis, "figs", "apple") == [KEYS[:2].tolist(), None]
    redis.delete(cache.similar_key(MODEL, "figs"))
    lists.write(ranker, now=3)
    assert similar_to(redis, "figs") == [None]
    ranker.extend(NewItems([Item(17, "grapes")]))
    lists.write(ranker, now=4)
    assert similar_to(redis, "figs", "grapes") == [None, KEYS[:2].tolist()]
    lists.forget(MODEL)
    lists.write(ranker, now=5)
    assert similar_to(redis, "figs") == [[17, KEYS[0]]]


def test_only_the_newest_items_get_one(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_lists, "NEW_ITEMS", 1)
    ranker = ToyRanker()
    ranker.extend(NewItems([Item(16, "figs"), Item(17, "grapes")]))
    SharedLists(redis, ServingConfig()).write(ranker, now=1)
    assert [found is None for found in similar_to(redis, "figs", "grapes")] == [True, False]


def test_what_is_sold_out_is_not_for_strangers(redis: Redis) -> None:
    ranker = ToyRanker()
    ranker.set_available(np.array([False, True, False, True, True]))
    SharedLists(redis, ServingConfig(list_length=2)).write(ranker, now=1)
    found = ListReader(redis, 0).popular(MODEL)
    assert found
    assert found.item_keys.tolist() == [12, 14]
