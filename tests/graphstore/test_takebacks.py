"""What a return or a cancellation leaves standing."""

import numpy as np
import pytest

from graphstore.tables import EVENT_TYPES
from graphstore.takebacks import standing

VIEW, BUY, RETURN, CANCEL = (EVENT_TYPES.index(name) for name in ("view", "purchase", "return", "cancel"))
NONE = float("nan")

Row = tuple[int, int, int, float]


@pytest.mark.parametrize(
    ("rows", "shares"),
    [
        ([(1, 1, VIEW, NONE), (1, 1, BUY, NONE), (1, 1, RETURN, NONE)], [1, 0, 0]),
        ([(1, 1, BUY, NONE), (1, 1, BUY, NONE), (1, 1, CANCEL, NONE)], [1, 0, 0]),  # the newest goes first
        ([(1, 1, BUY, NONE), (1, 1, BUY, NONE), (1, 1, RETURN, NONE), (1, 1, RETURN, NONE)], [0, 0, 0, 0]),
        ([(1, 1, BUY, 10.0), (1, 1, RETURN, 4.0)], [0.6, 0]),
        ([(1, 1, BUY, 10.0), (1, 1, RETURN, 4.0), (1, 1, RETURN, 6.0)], [0, 0, 0]),
        ([(1, 1, BUY, 2.0), (1, 1, BUY, 3.0), (1, 1, RETURN, 4.0)], [0.5, 0, 0]),  # spills over to the one before
        ([(1, 1, BUY, 2.0), (1, 1, RETURN, 9.0), (1, 1, BUY, 2.0)], [0, 0, 1]),  # never reaches a later purchase
        ([(1, 1, BUY, 0.3), (1, 1, RETURN, 0.1), (1, 1, RETURN, 0.2)], [0, 0, 0]),  # 0.3 - 0.1 - 0.2 is not 0 in floats
        ([(1, 1, BUY, 0.9), (1, 1, RETURN, 0.45)], [0.5, 0]),
        ([(1, 1, BUY, 0.3), (1, 1, BUY, 0.3), (1, 1, RETURN, 0.1), (1, 1, RETURN, 0.2)], [1, 0, 0, 0]),
        ([(1, 1, BUY, 1e6), (1, 1, RETURN, 999_999.0)], [1e-6, 0]),
        ([(1, 1, RETURN, NONE), (1, 1, BUY, NONE)], [0, 1]),  # nothing to take back yet
        ([(1, 1, BUY, NONE), (1, 2, RETURN, NONE), (2, 1, RETURN, NONE)], [1, 0, 0]),  # another item, another user
        ([(1, 1, BUY, NONE), (2, 1, BUY, NONE), (1, 1, RETURN, NONE)], [0, 1, 0]),
        ([(1, 1, VIEW, NONE), (1, 1, BUY, 3.0)], [1, 1]),
        ([], []),
    ],
)
def test_what_stands(rows: list[Row], shares: list[float]) -> None:
    columns = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    users, items, types = columns[:3].astype(np.int64)
    np.testing.assert_allclose(standing(users, items, types, columns[3]), shares)
    stored = columns[3].astype(np.float32).astype(np.float64)  # as a snapshot holds them
    found = standing(users, items, types, stored)
    np.testing.assert_allclose(found, shares, rtol=1e-6)
    assert (found > 0).tolist() == (np.array(shares) > 0).tolist()
