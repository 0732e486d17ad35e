"""Position bias: a law, and its limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagestream.simulation.attention import PERSISTENCE, Attention


@given(persistence=st.floats(0, 1), chance=st.floats(0, 1, exclude_max=True), length=st.integers(0, 30))
def test_what_is_seen_is_the_top_of_the_list(persistence: float, chance: float, length: int) -> None:
    attention = Attention(persistence)
    seen = attention.seen(length, chance)
    assert min(length, 1) <= seen <= length
    curve = attention.curve(length)
    assert (curve[:seen] > chance).all()
    assert (curve[seen:] <= chance).all()


def test_the_shares_seen_follow_the_curve() -> None:
    attention, rng, tries = Attention(), np.random.default_rng(0), 20_000
    seen = np.array([attention.seen(10, chance) for chance in rng.random(tries)])
    shares = np.array([(seen > position).mean() for position in range(10)])
    assert shares == pytest.approx(PERSISTENCE ** np.arange(10), abs=0.015)


def test_a_persistence_is_a_probability() -> None:
    with pytest.raises(ValueError, match="probability"):
        Attention(1.1)
