"""What rises: not what has most, but what has more than its own past lets expect."""

import math

import numpy as np
import pytest

from serving.shop_lists.assortment import Assortment
from serving.shop_lists.lists import ALL, ShopEntry, readable
from serving.shop_lists.rising import PRIOR, rise, rising
from serving.shop_lists.window_counts import Counts


def test_the_known_answer() -> None:
    events, past = np.array([500, 30, 10, 0]), np.array([5000, 100, 300, 0])
    expected = 540 * past / 5400
    scores = rise(events, past)
    assert scores == pytest.approx(np.log((events + PRIOR) / (expected + PRIOR)))
    assert scores[0] == pytest.approx(0.0, abs=0.02)  # the best seller, as always
    assert scores[1] == pytest.approx(math.log(35 / 15))  # three times as much as before
    assert scores[2] < 0
    assert scores[3] == 0


def test_a_busier_shop_lifts_nothing() -> None:
    past = np.array([400, 40, 4])
    assert rise(3 * past, past) == pytest.approx(np.zeros(3))


def test_without_a_past_the_most_come_first_and_take_backs_count_as_none() -> None:
    scores = rise(np.array([1, 20, -3]), np.array([0, 0, -9]))
    assert scores == pytest.approx([math.log(6 / 5), math.log(5), 0])


def test_lists_hold_what_rises_and_has_some_events() -> None:
    shelf = Assortment(np.array([1, 2, 3]), ["A"], np.array([0, 2]), np.array([0, 0]))
    counts = Counts(
        np.array([1, 2, 3, 4]),
        {},
        {"1h": np.array([2, 9, 6, 50])},
        {"1h": np.array([0, 0, 0, 1])},
    )
    lists = {name: readable("rising", raw) for name, raw in rising(counts, "1h", shelf).items()}
    assert {name: [entry.item_key for entry in of] for name, of in lists.items()} == {ALL: [2, 3], "A": [3]}
    assert lists[ALL][0] == ShopEntry(2, pytest.approx(math.log(14 / 5), rel=1e-5), 9)  # type: ignore[arg-type]
