"""The blend: the score is the weighted sum, a cold user's score is the trend, and a file keeps it whole."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.oracle import HOUR_MS, NUM_ITEMS, choices_of_an_oracle
from training.blend.blend import Blend
from training.blend.fit import fit_blend
from training.data.event_log import Histories
from training.data.windows import Window


@pytest.fixture(scope="module")
def world():
    return choices_of_an_oracle()


def test_cold_users_are_scored_by_the_trend_alone(world):
    log, oracle, trend = world
    blend = fit_blend([oracle, trend], Window.cut(log, start=100 * HOUR_MS, repeats=True))
    nobody = Histories.from_rows([[]])
    scores = blend.score([oracle, trend], nobody, as_of=100 * HOUR_MS)
    expected = trend.score(nobody, as_of=100 * HOUR_MS)[:, :, 0] * blend.weights(np.array([0]))[0, 2]
    torch.testing.assert_close(scores, expected)


def test_the_score_is_the_weighted_sum(world):
    log, oracle, trend = world
    blend = fit_blend([oracle, trend], Window.cut(log, start=100 * HOUR_MS, repeats=True))
    histories = log.histories(np.array([0, 1, 2]), before=100 * HOUR_MS)
    features = torch.cat([term.score(histories, as_of=5) for term in (oracle, trend)], dim=2)
    known = torch.zeros(3, NUM_ITEMS, 1)
    known[histories.rows(), histories.items] = 1
    features = torch.cat([features, features[:, :, 2:] * known], dim=2)
    expected = torch.einsum("bnf,bf->bn", features, blend.weights(np.array([1, 20, 1])))
    torch.testing.assert_close(blend.score([oracle, trend], histories, as_of=5), expected)
    with pytest.raises(ValueError, match="fitted on"):
        blend.score([trend, oracle], histories, as_of=5)


def test_json_keeps_every_digit(world):
    log, oracle, trend = world
    blend = fit_blend([oracle, trend], Window.cut(log, start=100 * HOUR_MS, repeats=True))
    assert Blend.from_json(json.loads(json.dumps(blend.to_json()))) == blend
    shared = replace(blend, cold=None)
    assert Blend.from_json(json.loads(json.dumps(shared.to_json()))) == shared
