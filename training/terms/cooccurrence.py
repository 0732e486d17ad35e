"""Co-occurrence: how often two items share a user, with each user and each item divided by the root of its degree.

Arrives: the interactions X [num_users, num_items]. Leaves: a sparse item–item matrix. Next:
`training.terms.linear_filter`.

W = D_i^(−1/2) Xᵀ D_u⁻¹ X D_i^(−1/2), where D are the sums of the rows and columns of X: two steps of the normalised
propagation of LightGCN, without anything learned. On small and sparse data, where a regression has little to learn
from, it adds to one.

The matrix is made in blocks of rows, and only the strongest weights of each row are kept, so that no item × item matrix
is in memory, whatever the number of items.

Source: He et al., "LightGCN", SIGIR 2020 (the normalisation); Shen et al., "How Powerful is Graph Convolution for
Recommendation?", CIKM 2021 (the filter).
"""

import numpy as np
from scipy import sparse

from training.terms.gram import csr
from training.terms.local_ridge import strongest_of_rows

BLOCK_ITEMS = 1_024
"""Rows of the matrix that are made at a time."""


def cooccurrence_weights(interactions: sparse.csr_array, *, row_weights: int) -> sparse.csr_array:
    """Return the `row_weights` strongest weights in each row [num_items, num_items] float32. The diagonal is zero."""
    num_items = interactions.shape[1]
    of_users, of_items = (
        1.0 / np.sqrt(np.where(sums > 0, sums, 1.0)) for sums in (interactions.sum(axis=1), interactions.sum(axis=0))
    )
    scaled = sparse.csr_array(sparse.diags_array(of_users) @ interactions @ sparse.diags_array(of_items))
    by_item = sparse.csr_array(scaled.T)
    values, rows, columns = [], [], []
    for start in range(0, max(num_items, 1), BLOCK_ITEMS):
        part = sparse.coo_array(by_item[start : start + BLOCK_ITEMS] @ scaled)
        others = part.coords[1] != part.coords[0] + start
        kept = strongest_of_rows(
            csr(part.data[others], part.coords[0][others], part.coords[1][others], part.shape), row_weights
        ).tocoo()
        values.append(kept.data.astype(np.float32))
        rows.append(kept.coords[0] + start)
        columns.append(kept.coords[1])
    return csr(np.concatenate(values), np.concatenate(rows), np.concatenate(columns), (num_items, num_items))
