"""Interactions as a matrix X, and what goes together in it: the Gram matrix XᵀX, kept exact while events come in.

Arrives: an event log. Leaves: `Past`, with the dense Gram matrix where the catalogue is small enough for one. Next:
`training.terms.linear_filter` solves for the weights.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from graphstore.arrays import Float32Array, IntArray, distinct, run_starts
from training.data.event_log import EventLog


@dataclass(frozen=True)
class Past:
    """The interactions X and, where the catalogue is small enough for a dense one, their Gram matrix.

    An interaction's value is the largest of its events' √weight · 2^((time − origin) / 2·half-life): a maximum, so that
    order and repetition of events change nothing, and relative to a fixed origin, so that old products never need to
    be decayed again (a common factor of XᵀX cancels in the weights).
    """

    interactions: sparse.csr_array
    """float64 [num_users, num_items], items ascending in each row. Products of half the precision are enough; but two
    pasts of the same events whose origins differ must agree on which of two items is nearer, and on what is equal."""
    gram: Float32Array | None
    """[num_items, num_items]; None beyond `max_items`."""
    origin: int
    half_life_ms: float

    @classmethod
    def of(cls, log: EventLog, *, half_life_ms: float, max_items: int) -> Self:
        """Of every event of the log; the Gram matrix is dense for up to `max_items`."""
        origin = int(log.times[-1]) if len(log) else 0
        return cls(zeros(log.num_users, log.num_items), None, origin, half_life_ms).with_events(
            log, max_items=max_items
        )

    def with_events(self, events: EventLog, *, max_items: int) -> Self:
        """The past and the events; the larger value of a pair wins."""
        before = self.interactions.tocoo()
        shape = (max(before.shape[0], events.num_users), max(before.shape[1], events.num_items))
        age = (events.times - self.origin) / (2 * self.half_life_ms)
        rows = np.concatenate([before.coords[0], events.users])
        columns = np.concatenate([before.coords[1], events.items])
        data = np.concatenate([before.data, np.sqrt(events.weights) * np.exp2(age)])
        after = _largest(data, rows.astype(np.int64) * shape[1] + columns, shape)
        gram: Float32Array | None = None
        if shape[1] <= max_items:
            gram = self._grown(before, after, distinct(events.users))
        return replace(self, interactions=after, gram=gram)

    def _grown(self, before: sparse.coo_array, after: sparse.csr_array, touched: IntArray) -> Float32Array:
        """The Gram matrix of `after`, where only the rows of the users `touched` differ from `before`."""
        if self.gram is None:
            return _products(after)
        # Out with the old products of those users, in with the new.
        old = csr(before.data, before.coords[0], before.coords[1], after.shape)[touched]
        gram = np.zeros((after.shape[1], after.shape[1]), dtype=np.float32)
        gram[: before.shape[1], : before.shape[1]] = self.gram
        gram += _products(after[touched])
        gram -= _products(old)
        return gram


def _products(interactions: sparse.csr_array) -> Float32Array:
    """XᵀX, dense, in single precision."""
    x = interactions.astype(np.float32)
    products: Float32Array = (x.T @ x).toarray().astype(np.float32, copy=False)
    return products


def interactions(log: EventLog, values: Float32Array | None = None) -> sparse.csr_array:
    """The distinct pairs of a log [num_users, num_items]: each one, or the largest of its events' `values`."""
    data = np.ones(len(log), dtype=np.float32) if values is None else values
    return _largest(data, log.cells, (log.num_users, log.num_items))


def _largest(values: npt.NDArray[Any], cells: IntArray, shape: tuple[int, int]) -> sparse.csr_array:
    """A sparse matrix by rows, cells being row · num_columns + column; of one cell the largest value counts."""
    order = np.lexsort((-values, cells))  # in each cell the largest value first
    first = order[run_starts(cells[order])]
    cells = cells[first]
    num_columns = max(shape[1], 1)
    return csr(values[first], cells // num_columns, cells % num_columns, shape)


def zeros(num_rows: int, num_columns: int) -> sparse.csr_array:
    """A matrix of nothing."""
    nothing = np.empty(0, dtype=np.int64)
    return csr(np.empty(0, dtype=np.float64), nothing, nothing, (num_rows, num_columns))


def csr(
    values: npt.NDArray[Any], rows: npt.NDArray[Any], columns: npt.NDArray[Any], shape: tuple[int, int]
) -> sparse.csr_array:
    """A sparse matrix by rows; values of one cell are summed."""
    return sparse.csr_array(sparse.coo_array((values, (rows, columns)), shape=shape))
