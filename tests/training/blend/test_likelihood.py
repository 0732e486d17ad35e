"""The likelihood: features that do not count cost nothing and change nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.oracle import HOUR_MS, choices_of_an_oracle
from training.blend.likelihood import Likelihood, feature_blocks, runs_of, scale_of
from training.data.windows import Window


@pytest.mark.parametrize(
    ("counting", "runs"),
    [
        ([1, 1, 1], [slice(0, 3)]),
        ([0, 1, 1, 0, 0, 1], [slice(1, 3), slice(5, 6)]),
        ([1, 0, 1], [slice(0, 1), slice(2, 3)]),
        ([0, 0], []),
    ],
)
def test_runs_are_the_consecutive_features_that_count(counting, runs):
    assert runs_of(torch.tensor(counting, dtype=torch.float32)) == runs


@pytest.mark.parametrize(("repeats", "mask"), [(True, [1, 0, 0, 1]), (False, [1, 0, 1])])
def test_features_that_do_not_count_are_as_good_as_absent(repeats, mask):
    log, oracle, trend = choices_of_an_oracle()
    window = Window.cut(log, start=100 * HOUR_MS, repeats=repeats)
    blocks = feature_blocks([oracle, trend], window, separate_known=repeats)
    likelihood = Likelihood(blocks, scale_of(blocks), focus=0.5, iterations=60)
    everybody, design = np.ones(len(window), dtype=bool), np.ones((len(window), 1))

    def fit(one: Likelihood, counting: torch.Tensor | None) -> torch.Tensor:
        start = torch.zeros(1, len(one.scale))
        return one.maximise(everybody, design, start, l2=1e-3, anchor_weight=0.0, counting=counting)

    apart = torch.tensor(mask, dtype=torch.float32)
    columns = torch.nonzero(apart)[:, 0]
    found = fit(likelihood, apart)
    alone = [replace(block, features=block.features[:, columns]) for block in blocks]
    expected = fit(replace(likelihood, blocks=alone, scale=likelihood.scale[columns]), None)
    assert torch.allclose(found[:, columns], expected, atol=1e-4)
    assert float(found[:, apart == 0].abs().max()) == 0.0
    assert torch.equal(fit(likelihood, torch.ones_like(apart)), fit(likelihood, None))
    assert not fit(likelihood, torch.zeros_like(apart)).any()
