"""Content: items are near to what they are described like, bought or not."""

from math import inf

import numpy as np
import pytest
import torch

from graphstore.catalogue import Catalogue
from tests.training.checkerboard import joined, make_log
from training.data.event_log import Histories
from training.features.items import FEATURE_SEED, ItemEncoder
from training.terms.content import LAST_ITEMS, Content

NAMES = ["red wool sock", "blue wool sock", "garden spade", "garden rake", ""]
CATALOGUE = Catalogue(
    titles=NAMES,
    categories=[["clothes"], ["clothes"], ["garden"], ["garden"], []],
    brands=["", "", "", "", ""],
    prices=np.array([5.0, 900.0, 5.0, np.nan, 5.0], dtype=np.float32),
    available=np.ones(5, dtype=np.bool_),
)
FEATURES = ItemEncoder.fit(CATALOGUE, seed=FEATURE_SEED).transform(CATALOGUE)
USERS = Histories.from_rows([[(0, 1, 3)], [(2, 1, 3), (0, 2, 3)], []])


def test_items_described_alike_come_first_whatever_they_cost():
    scores = Content.of(FEATURES).score(USERS, as_of=9)
    assert scores.shape == (3, 5, 2)
    assert scores[0, 1].min() > scores[0, 2:].max()


def test_the_short_memory_follows_the_last_item_and_the_long_one_knows_both():
    short, long = Content.of(FEATURES, (0.5, inf)).score(USERS, as_of=9)[1].T
    assert short[1] - short[3] > long[1] - long[3]
    assert long[3] == pytest.approx(float(long[1]), rel=0.4)


def test_nothing_is_said_without_a_history_or_a_description():
    scores = Content.of(FEATURES).score(USERS, as_of=9)
    assert not scores[2].any()
    assert not scores[:, 4].any()


def test_a_profile_is_the_mean_of_its_last_distinct_items():
    many = Histories.from_rows([[(2, 0, 3), *((0, time, 3) for time in range(1, LAST_ITEMS + 1))]])
    scores = Content.of(FEATURES, (inf,)).score(many, as_of=10**6)[0, :, 0]
    rows = torch.nn.functional.normalize(FEATURES[:, :-5], dim=1)
    torch.testing.assert_close(scores, rows @ (rows[0] + rows[2]) / 2)


def test_new_items_have_no_words_until_they_are_described():
    term = Content.of(FEATURES[:3])
    none, one = (make_log(rows, num_users=1, num_items=5) for rows in ([], [(0, 4, 10)]))
    term.update(joined(none, one))
    assert term.score(USERS, as_of=9).shape == (3, 5, 2)
    assert not term.score(USERS, as_of=9)[:, 3].any()
    term.update(joined(one, none), features=FEATURES)
    torch.testing.assert_close(term.score(USERS, as_of=9), Content.of(FEATURES).score(USERS, as_of=9))


def test_without_descriptions_it_is_silent():
    assert Content.of(torch.zeros(3, 0)).is_empty
    assert Content.of(FEATURES[4:]).is_empty  # a price is no description
    assert not Content.of(FEATURES).is_empty
