"""Responses as features: the sparse form equals the dense one, and parts of a response add up."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.terms.responses import Standard, z_and_log

few = arrays(np.float64, st.integers(0, 12), elements=st.floats(-5, 5, width=32))
weight = st.floats(-3, 3)


def dense(responses: np.ndarray, zeros: int, z_weight: float, log_weight: float) -> np.ndarray:
    z, log = z_and_log(torch.from_numpy(np.append(responses, np.zeros(zeros)))[None])
    return (z_weight * z + log_weight * log)[0].numpy()


@given(few, st.integers(0, 20), weight, weight)
def test_zeros_need_not_be_there(responses: np.ndarray, zeros: int, z_weight: float, log_weight: float) -> None:
    standard = Standard.of(responses, len(responses) + zeros)
    found = standard.weighed(np.append(responses, np.zeros(zeros)), z_weight, log_weight)
    np.testing.assert_allclose(found, dense(responses, zeros, z_weight, log_weight), atol=1e-6)


@given(arrays(np.float64, (3, 8), elements=st.floats(-5, 5, width=16)), weight, weight)
def test_parts_add_up_to_the_rise_over_an_item_without_response(
    parts: np.ndarray, z_weight: float, log_weight: float
) -> None:
    responses = parts.sum(axis=0)
    standard = Standard.of(responses, 20)
    carried = parts * standard.slopes(responses, z_weight, log_weight)
    rise = standard.weighed(responses, z_weight, log_weight) - standard.weighed(np.zeros(8), z_weight, log_weight)
    np.testing.assert_allclose(carried.sum(axis=0), rise, atol=1e-5 * (1 + abs(rise).max()))


def test_no_item_is_no_error() -> None:
    assert len(Standard.of(np.empty(0), 0).weighed(np.empty(0), 1.0, 1.0)) == 0


def test_all_responses_above_zero_have_finite_slopes() -> None:
    responses = np.array([2.0, 3.0, 9.0])
    slopes = Standard.of(responses, 3).slopes(responses, 0.0, 1.0)
    assert slopes == pytest.approx(np.clip(slopes, 0, np.inf))
    assert np.isfinite(slopes).all()
