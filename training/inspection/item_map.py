"""Item map: lays out the item vectors on a plane and groups them by category.

Arrives: a model, and categories in its item order. Leaves: points and groups. Next: `training.inspection.plots` draws
them.

t-SNE (van der Maaten & Hinton, 2008) keeps neighbours together. UMAP (McInnes et al., 2018) is faster on many items and
keeps a little more of the global structure. With both methods, distances between clusters have no meaning.
"""

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphstore.arrays import Float64Array, IntArray
from graphstore.errors import UserError
from training.data.windows import BLOCK_CELLS
from training.models.recommender import Recommender
from training.terms.protocol import Term

Method = Literal["tsne", "umap"]

MAX_ITEMS = 5_000
MIN_ITEMS = 5
GROUPS = 10
FILTER_WIDTH = 50
"""Dimensions of the linear filter's rows after their reduction."""


class NoMap(UserError):
    """The model has no item vectors, or too few for a map."""


def sample_items(model: Recommender, *, seed: int) -> IntArray:
    """Return the ascending rows of at most `MAX_ITEMS` items, sampled with `seed`."""
    if model.num_items <= MAX_ITEMS:
        return np.arange(model.num_items)
    return np.sort(np.random.default_rng(seed).choice(model.num_items, MAX_ITEMS, replace=False))


def item_vectors(model: Recommender, rows: IntArray, *, seed: int) -> tuple[str, IntArray, Tensor]:
    """Return the source of the vectors, the rows [m] with a vector, and unit vectors [m, dim].

    The vectors are GraphSAGE's embeddings. A model without GraphSAGE uses the item weights of its linear filter,
    reduced to their first singular vectors. An item without a weight has no vector. Raises `NoMap`.
    """
    embedded = ((term.title, term.item_embeddings) for term in model.terms)
    source, embeddings = next(((title, found) for title, found in embedded if found is not None), ("", None))
    relating = next((term for term in model.terms if term.relates_items), None)
    if embeddings is not None:
        vectors = embeddings[torch.from_numpy(rows)]
    elif relating is not None:
        source, vectors = relating.title, _reduce(_weights(relating, rows), seed=seed)
    else:
        raise NoMap(f"{model.model_version} has neither GraphSAGE nor a linear filter: its items have no vectors")
    has_vector = torch.linalg.vector_norm(vectors, dim=1) > 0
    if int(has_vector.sum()) < MIN_ITEMS:
        raise NoMap(f"{model.model_version} has vectors of {int(has_vector.sum())} items: too few for a map")
    return source, rows[has_vector.numpy()], F.normalize(vectors[has_vector], dim=1)


def lay_out(vectors: Tensor, *, method: Method, seed: int) -> Float64Array:
    """Return unit vectors [m, dim] as points [m, 2]. One thread gives the same points for the same seed."""
    values = vectors.numpy().astype(np.float32)
    if method == "umap":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)  # from an optional part that needs Tensorflow
            import umap

        neighbours = min(15, len(values) - 1)
        init = "spectral" if len(values) > 50 else "random"  # the spectral solver needs more points than vectors
        layout = umap.UMAP(n_neighbors=neighbours, metric="cosine", init=init, random_state=seed, n_jobs=1)
    else:
        from sklearn.manifold import TSNE

        layout = TSNE(perplexity=min(30.0, (len(values) - 1) / 3), init="pca", random_state=seed)
    return np.asarray(layout.fit_transform(values), dtype=np.float64)


def widest_groups(categories: Sequence[Sequence[str]]) -> list[str | None]:
    """Return each item's most frequent category among all items, None outside the `GROUPS` biggest categories."""
    sizes = Counter(name for names in categories for name in set(names))
    widest = [max(names, key=lambda name: (sizes[name], name), default=None) for names in categories]
    shown = {name for name, _ in sorted(Counter(filter(None, widest)).items(), key=lambda at: (-at[1], at[0]))[:GROUPS]}
    return [name if name in shown else None for name in widest]


def _weights(relating: Term, rows: IntArray) -> Tensor:
    """Return the positive relations [m, m] among the items at ascending `rows`."""
    step = max(1, BLOCK_CELLS // max(relating.num_items, 1))
    columns = torch.from_numpy(rows)
    parts = []
    for first in range(0, relating.num_items, step):
        last = min(first + step, relating.num_items)
        chosen = rows[(rows >= first) & (rows < last)] - first
        if len(chosen):
            parts.append(relating.relations(first, last)[torch.from_numpy(chosen)][:, columns].clamp_min(0))
    return torch.cat(parts) if parts else torch.zeros(0, 0)


def _reduce(weights: Tensor, *, seed: int) -> Tensor:
    """Return unit rows [m, m] as their first singular vectors [m, FILTER_WIDTH]. A zero row stays zero."""
    if len(weights) <= FILTER_WIDTH:
        return weights
    from sklearn.decomposition import TruncatedSVD

    reduced = TruncatedSVD(FILTER_WIDTH, random_state=seed).fit_transform(F.normalize(weights, dim=1).numpy())
    return torch.from_numpy(reduced.astype(np.float32)) * (weights.sum(dim=1, keepdim=True) > 0)
