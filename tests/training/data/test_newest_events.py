"""The newest events of each user: a bound for one, and nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.data.newest_events import newest_of_each_user


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(1, 8))
def test_each_user_keeps_the_newest_and_the_order_stays(users: list[int], most: int) -> None:
    rows = newest_of_each_user(np.array(users, dtype=np.int64), most)
    right = sorted(
        row for user in set(users) for row in [row for row, name in enumerate(users) if name == user][-most:]
    )
    if rows is None:
        assert right == list(range(len(users)))
    else:
        assert rows.tolist() == right
        assert len(right) < len(users)


def test_no_crowd_costs_no_copy() -> None:
    assert newest_of_each_user(np.arange(5, dtype=np.int64), 1) is None
    assert newest_of_each_user(np.zeros(0, dtype=np.int64)) is None
