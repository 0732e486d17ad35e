"""The model of rewards on counts that are easy to check."""

import numpy as np
import pytest

from monitoring.ope.rewards import PRIOR_REWARDS, RewardModel


def test_hand_computed_rates_and_lifts() -> None:
    # Position 0: 30 rewards of 60, position 1: 10 of 40. Item 1 was shown at position 0 only: 25 of 30.
    positions = np.array([0] * 60 + [1] * 40)
    items = np.array([1] * 30 + [2] * 30 + [2] * 40)
    rewards = np.array([1.0] * 25 + [0.0] * 5 + [1.0] * 5 + [0.0] * 25 + [1.0] * 10 + [0.0] * 30)
    model = RewardModel.fit(positions, items, rewards, shape=(3, 4))
    assert model.rates.tolist() == [0.5, 0.25, 0.0]
    lifts = [1.0, (25 + PRIOR_REWARDS) / (15 + PRIOR_REWARDS), (15 + PRIOR_REWARDS) / (25 + PRIOR_REWARDS), 1.0]
    assert model.lifts.tolist() == pytest.approx(lifts)
    assert model.predict(1, np.array([0, 1])).tolist() == pytest.approx([0.25, 0.25 * lifts[1]])


def test_no_rows_predict_nothing() -> None:
    empty = np.empty(0, dtype=np.int64)
    assert RewardModel.fit(empty, empty, np.empty(0), shape=(2, 2)).predict(0, np.array([1])).tolist() == [0.0]
