"""Registered files: find the directory of a model or a snapshot by its name.

Arrives: a name from a verb, or None for the default. Leaves: a directory. Next: `load_bundle`, `load_snapshot`.
"""

from pathlib import Path

from graphstore.config import GraphstoreConfig
from graphstore.session import open_existing, read
from graphstore.snapshots.files import newest_snapshot
from training.lifecycle import registry

CHAMPION = "champion"
"""The name of the model that serves. None means the same."""


def registered_bundle(graph: GraphstoreConfig, model_version: str | None) -> Path:
    """Return the bundle of a registered model. Raises `UnknownModel` and `NoChampion`."""
    engine = open_existing(graph.sqlalchemy_url)
    try:
        with read(engine) as connection:
            row = (
                registry.champion(connection)
                if model_version in (None, CHAMPION)
                else registry.get_model(connection, model_version)
            )
    finally:
        engine.dispose()
    if row is None:
        raise registry.NoChampion("there is no champion yet: `sagestream train` makes one")
    return Path(row.bundle)


def snapshot_directory(graph: GraphstoreConfig, named: str | None) -> Path:
    """Return the directory of a snapshot: by name, by path, or the newest (None). A name comes before a path.

    Raises `NoSnapshot` if there is no snapshot yet. `load_snapshot` checks that the directory is a snapshot.
    """
    if not named:
        return newest_snapshot(graph.snapshots_dir)
    kept = graph.snapshots_dir / named
    return Path(named) if not kept.is_dir() and Path(named).is_dir() else kept
