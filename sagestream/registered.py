"""Where what a user names is kept: a model of the registry, a snapshot.

Arrives: the words of a verb, or none for what is usual. Leaves: a directory. Next: `load_bundle`, `load_snapshot`.
"""

from pathlib import Path

from graphstore.config import GraphstoreConfig
from graphstore.session import open_engine, read
from graphstore.snapshots.files import newest_snapshot
from training.lifecycle import registry

CHAMPION = "champion"
"""Names the model that serves; so does None."""


def registered_bundle(graph: GraphstoreConfig, model_version: str | None) -> Path:
    """The bundle of a model of the registry. Raises `UnknownModel` and `NoChampion`."""
    engine = open_engine(graph.sqlalchemy_url)
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
    """Of a snapshot's name, of a directory's path, or of the newest; a name in the state directory comes first.

    Raises `NoSnapshot` where there is none yet; whether it is a snapshot, `load_snapshot` sees.
    """
    if not named:
        return newest_snapshot(graph.snapshots_dir)
    kept = graph.snapshots_dir / named
    return Path(named) if not kept.is_dir() and Path(named).is_dir() else kept
