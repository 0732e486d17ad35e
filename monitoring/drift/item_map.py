"""Item map: where the champion places the items, as a few numbers for each item.

Arrives: the champion's bundle. Leaves: the coordinates of items along the main directions of their embeddings. Next:
`columns` makes columns of them, so a move of the traffic to other kinds of items is seen as the model sees items.

Rejected: Evidently's drift of whole embeddings. It draws a t-SNE of the vectors in each report, which takes most of the
report's time, and a mean of vectors moves less than one direction does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, select

from graphstore.arrays import Float64Array
from graphstore.tables import models
from training.lifecycle.registry import CHAMPION

AXES = 3
GRAPHSAGE = "graphsage"


class NoItemMap(RuntimeError):
    """The champion has no embeddings, or its bundle cannot be read. The message tells which."""


@dataclass(frozen=True)
class ItemMap:
    """The coordinates [items, axes] of the items that a model knows."""

    model_version: str
    rows: dict[str, int]
    coordinates: Float64Array

    def of(self, item_ids: Sequence[str]) -> Float64Array:
        """Return the coordinates [n, axes] of these items; NaN for items that the model does not know."""
        found = np.full((len(item_ids), self.coordinates.shape[1]), np.nan)
        known = [(place, self.rows[name]) for place, name in enumerate(item_ids) if name in self.rows]
        if known:
            places, rows = np.array(known).T
            found[places] = self.coordinates[rows]
        return found


class ChampionMap:
    """The map of the champion. It is kept until the champion changes."""

    def __init__(self) -> None:
        self._kept: ItemMap | None = None

    def read(self, connection: Connection) -> ItemMap:
        """Return the map of the present champion. Raises `NoItemMap`."""
        row = connection.execute(
            select(models.c.model_version, models.c.bundle, models.c.kind).where(models.c.status == CHAMPION)
        ).one_or_none()
        if row is None:
            raise NoItemMap("there is no champion yet")
        if self._kept is None or self._kept.model_version != row.model_version:
            self._kept = load_item_map(Path(row.bundle))
        return self._kept


def load_item_map(bundle: Path) -> ItemMap:
    """Return the map of the model in this directory. Raises `NoItemMap`."""
    if not (bundle / f"{GRAPHSAGE}.pt").exists():
        there = "has no embeddings" if bundle.is_dir() else "is not on this machine"
        raise NoItemMap(f"the bundle {bundle.name} {there}")
    # Only a champion with embeddings costs this process the import of torch.
    from training.models.bundle import BundleError, load_bundle

    try:
        model = load_bundle(bundle)
    except (BundleError, OSError) as error:
        raise NoItemMap(f"the bundle {bundle.name} cannot be read: {error}") from error
    vectors = next(term.item_embeddings for term in model.terms if term.item_embeddings is not None)
    rows = {name: row for row, name in enumerate(model.item_ids)}
    return ItemMap(model.model_version, rows, main_directions(vectors.detach().numpy().astype(np.float64)))


def main_directions(vectors: Float64Array, axes: int = AXES) -> Float64Array:
    """Return the coordinates [n, axes] of vectors [n, dim] along the directions of their largest variance (PCA)."""
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)  # ascending variance
    along: Float64Array = centred @ directions[:, ::-1][:, :axes]
    return along
