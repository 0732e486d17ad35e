"""Profiles: the newest distinct items, newest first, decayed by rank."""

from math import inf

import numpy as np
import pytest
import torch

from training.data.event_log import Histories
from training.graph.profiles import Profiles

HISTORIES = Histories.from_rows([[(3, 10, 3), (1, 20, 3), (3, 30, 3), (0, 40, 3)], [], [(2, 5, 3)]])


def test_each_item_once_newest_first():
    profiles = Profiles.from_histories(HISTORIES, last=10, num_items=4)
    assert profiles.offsets.tolist() == [0, 3, 3, 4]
    assert profiles.items.tolist() == [0, 3, 1, 2]
    assert profiles.rows().tolist() == [0, 0, 0, 2]


def test_at_most_the_last_items():
    profiles = Profiles.from_histories(HISTORIES, last=2, num_items=4)
    assert profiles.items.tolist() == [0, 3, 2]


def test_spans_end_before_their_end():
    items = np.array([0, 1, 2, 3])
    profiles = Profiles.from_spans(items, np.array([0, 0, 1]), np.array([0, 2, 4]), last=9, num_items=4)
    assert profiles.offsets.tolist() == [0, 0, 2, 5]
    assert profiles.items.tolist() == [1, 0, 3, 2, 1]


def test_weights_halve_and_sum_to_one():
    halved, level = Profiles.from_histories(HISTORIES, last=10, num_items=4).decay_weights([1.0, inf])
    assert (halved @ torch.eye(4))[0].tolist() == pytest.approx([4 / 7, 1 / 7, 0, 2 / 7])
    assert (level @ torch.eye(4))[0].tolist() == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])
    assert (halved @ torch.eye(4))[1:].tolist() == [[0, 0, 0, 0], [0, 0, 1, 0]]


def test_no_shoppers():
    profiles = Profiles.from_histories(Histories.from_rows([]), last=10, num_items=4)
    assert len(profiles) == 0
    assert (profiles.decay_weights([1.0])[0] @ torch.eye(4)).shape == (0, 4)
