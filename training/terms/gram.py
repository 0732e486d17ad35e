"""Interaction matrix X and its Gram matrix XᵀX, with exact updates for new events.

Arrives: an event log. Leaves: `Past`, with a dense Gram matrix if the catalogue is small enough. Next:
`training.terms.linear_filter` solves for the weights.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from graphstore.arrays import Float32Array, IntArray, run_starts
from training.data.event_log import EventLog


@dataclass(frozen=True)
class Past:
    """The interactions X and, if the catalogue is small enough, the dense Gram matrix.

    The value of an interaction is the maximum of √weight · 2^((time − origin) / 2·half-life) over its events. With a
    maximum, order and repetition of events have no effect. With a fixed origin, old products need no further decay,
    because a common factor of XᵀX cancels in the weights.
    """

    interactions: sparse.csr_array
    """[num_users, num_items] float64, items ascending in each row. Single precision is enough for the products, but the
    same events with another origin must give the same order and the same ties of nearest items."""
    gram: Float32Array | None
    """[num_items, num_items] None when there are more than `max_items`."""
    origin: int
    half_life_ms: float

    @classmethod
    def of(cls, log: EventLog, *, half_life_ms: float, max_items: int) -> Self:
        """Build the matrices of all events in the log. Up to `max_items`, the Gram matrix is dense."""
        origin = int(log.times[-1]) if len(log) else 0
        return cls(zeros(log.num_users, log.num_items), None, origin, half_life_ms).with_events(
            log, max_items=max_items
        )

    def with_events(self, events: EventLog, *, max_items: int) -> Self:
        """Return the past with more events. The larger value of a pair wins."""
        before = self.interactions.tocoo()
        shape = (max(before.shape[0], events.num_users), max(before.shape[1], events.num_items))
        age = (events.times - self.origin) / (2 * self.half_life_ms)
        rows = np.concatenate([before.coords[0], events.users])
        columns = np.concatenate([before.coords[1], events.items])
        data = np.concatenate([before.data, np.sqrt(events.weights) * np.exp2(age)])
        after = _maximum_of_cells(data, rows.astype(np.int64) * shape[1] + columns, shape)
        gram: Float32Array | None = None
        if shape[1] <= max_items:
            gram = self._updated_gram(after)
        return replace(self, interactions=after, gram=gram)

    def _updated_gram(self, after: sparse.csr_array) -> Float32Array:
        """Return the Gram matrix of the interactions `after`, which begin with those of this past."""
        if self.gram is None:
            x = after.astype(np.float32)
            products: Float32Array = (x.T @ x).toarray().astype(np.float32, copy=False)
            return products
        before = self.interactions.copy()
        before.resize(after.shape)  # type: ignore[arg-type]  # the stubs know only one dimension
        new = after - before
        new.eliminate_zeros()
        # (X + N)ᵀ(X + N) = XᵀX + M + Mᵀ with M = (X + N/2)ᵀN. N has a few cells, so the products are few.
        change = ((after - 0.5 * new).T @ new).tocoo()
        gram: Float32Array = np.pad(self.gram, (0, after.shape[1] - len(self.gram)))
        for rows, columns in (change.coords, change.coords[::-1]):
            gram[rows, columns] += change.data
        return gram


def interactions(log: EventLog, values: Float32Array | None = None) -> sparse.csr_array:
    """Return the distinct pairs of a log [num_users, num_items], with value 1 or the largest of their `values`."""
    data = np.ones(len(log), dtype=np.float32) if values is None else values
    return _maximum_of_cells(data, log.cells, (log.num_users, log.num_items))


def _maximum_of_cells(values: npt.NDArray[Any], cells: IntArray, shape: tuple[int, int]) -> sparse.csr_array:
    """Return a CSR matrix with the largest value of each cell. A cell is row · num_columns + column."""
    order = np.lexsort((-values, cells))  # the largest value of a cell first
    first = order[run_starts(cells[order])]
    cells = cells[first]
    num_columns = max(shape[1], 1)
    return csr(values[first], cells // num_columns, cells % num_columns, shape)


def zeros(num_rows: int, num_columns: int) -> sparse.csr_array:
    """Return a sparse matrix without entries."""
    nothing = np.empty(0, dtype=np.int64)
    return csr(np.empty(0, dtype=np.float64), nothing, nothing, (num_rows, num_columns))


def csr(
    values: npt.NDArray[Any], rows: npt.NDArray[Any], columns: npt.NDArray[Any], shape: tuple[int, int]
) -> sparse.csr_array:
    """Return a CSR matrix. Values of the same cell are summed."""
    return sparse.csr_array(sparse.coo_array((values, (rows, columns)), shape=shape))
