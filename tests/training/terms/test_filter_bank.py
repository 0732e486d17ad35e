"""The filter bank: two features for each filter and each memory."""

from math import inf

import numpy as np
import torch

from tests.training.checkerboard import DAY_MS, checkerboard
from training.data.event_log import Histories
from training.terms.filter_bank import FilterBank
from training.terms.linear_filter import FilterSettings, LinearFilter

LOG = checkerboard()
BOTH = Histories.from_rows([[(0, 1, 3), (2, 2, 3)], [(1, 1, 3)]])


def bank(log=LOG) -> FilterBank:
    drifting = LinearFilter.fit(log, FilterSettings(gram_half_life_ms=2.0 * DAY_MS))
    return FilterBank([LinearFilter.fit(log), drifting], half_lives=(1.0, inf))


def test_every_feature_puts_the_own_half_first_and_z_is_standardised():
    features = bank().score(BOTH, as_of=DAY_MS)
    assert features.size(2) == 8
    even = torch.arange(LOG.num_items) % 2 == 0
    untouched = torch.arange(LOG.num_items) > 2
    for feature in range(8):
        assert features[0, even & untouched, feature].min() > features[0, ~even, feature].max()
        assert features[1, ~even & untouched, feature].min() > features[1, even, feature].max()
    np.testing.assert_allclose(features[:, :, ::2].mean(dim=1), 0, atol=1e-5)
    np.testing.assert_allclose(features[:, :, ::2].std(dim=1, correction=0), 1, atol=1e-5)


def test_each_memory_is_a_feature_of_its_own():
    term = bank()
    short, long = (term.filters[0].response(BOTH, half_life=life) for life in (1.0, inf))
    features = term.score(BOTH, as_of=0)
    for place, response in ((0, short), (2, long)):
        assert np.corrcoef(features[0, :, place], response[0])[0, 1] > 0.9999
    assert not torch.allclose(features[0, :, 0], features[0, :, 2])


def test_an_empty_history_says_nothing_of_any_item():
    features = bank().score(Histories.from_rows([[]]), as_of=0)
    assert torch.isfinite(features).all()
    assert (features == features[:, :1]).all()
