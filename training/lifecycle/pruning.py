"""Pruning: deletes the bundles that nobody needs any more.

Arrives: the registry, the directory of bundles. Leaves: the needed bundles; `pruned_at` in the rows of the others.
Next: `training.lifecycle.registry` promotes no model whose bundle is gone. The scheduler prunes after each run.

The row is marked first and the directory is deleted after, so a process that is killed in between leaves no model that
looks usable and is not. The next call deletes what such a process has left, and the bundles of killed runs, which no
row names.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, Engine, select, update

from graphstore.session import write
from graphstore.tables import experiments, models, training_runs
from training.lifecycle.promotions import running_probation, way_back
from training.lifecycle.registry import CHAMPION, FAILED, list_models, model_of

WAYS_BACK = 2
"""So many earlier champions stay for a rollback."""


def prune_bundles(engine: Engine, directory: Path, *, keep: int, now: int) -> list[str]:
    """Delete the bundles of all models except the needed ones and the `keep` newest. Return the names of the deleted.

    `directory` holds the bundles; a bundle elsewhere is left alone. `now` is epoch ms. Raises `OSError` when a
    directory cannot be deleted. The next call tries again.
    """
    with write(engine) as connection:
        rows = [row for row in list_models(connection) if Path(row.bundle).parent.resolve() == directory.resolve()]
        needed = needed_models(connection, keep=keep)
        ends = [row.model_version for row in rows if row.pruned_at is None and row.model_version not in needed]
        unused = models.c.model_version.in_(ends) & (models.c.status != CHAMPION)
        connection.execute(update(models).where(unused).values(pruned_at=now))
        marked = connection.scalars(select(models.c.model_version).where(models.c.pruned_at.is_not(None))).all()
        gone = [Path(row.bundle) for row in rows if row.model_version in set(marked)]
        gone += _nameless(connection, directory)
    gone = [path for path in gone if path.is_dir()]
    for path in gone:
        shutil.rmtree(path)
    return [path.name for path in gone]


def needed_models(connection: Connection, *, keep: int) -> set[str]:
    """Return the models whose bundles must stay.

    These are the champion; the previous one of a running probation; the next earlier champions for a rollback; the
    models of running experiments; the `keep` newest models; and the parents and anchors of all these.
    """
    rows = {row.model_version: row for row in list_models(connection)}
    whole = [row for row in rows.values() if row.pruned_at is None]
    needed = {row.model_version for row in whole[-keep:]}
    champion = next((row for row in whole if row.status == CHAMPION), None)
    if champion is not None:
        back = way_back(connection, champion.model_version)
        needed |= {champion.model_version, *back[:WAYS_BACK]}
    probation = running_probation(connection)
    if probation is not None and probation.from_version is not None:
        needed.add(probation.from_version)
    needed |= set(_in_experiments(connection))
    # What a needed model was made from and is judged against.
    for version in list(needed):
        if (row := rows.get(version)) is not None:
            needed |= {name for name in (row.parent, row.anchor) if name}
    return needed


def _in_experiments(connection: Connection) -> Iterator[str]:
    for arms in connection.scalars(select(experiments.c.arms).where(experiments.c.status == "running")):
        yield from (arm["model_version"] for arm in json.loads(arms) if arm.get("model_version"))


def _nameless(connection: Connection, directory: Path) -> list[Path]:
    """Return the bundles, whole or half-written, of failed runs. A run without a row is of another database."""
    if not directory.is_dir():
        return []
    failed = select(training_runs.c.run_id).where(training_runs.c.status == FAILED)
    names = {model_of(str(run_id)) for run_id in connection.scalars(failed)}
    names -= set(connection.scalars(select(models.c.model_version)))
    written = [(path, re.fullmatch(r"\.?(m[0-9]+-[0-9]+)(\.[0-9]+)?", path.name)) for path in directory.iterdir()]
    return [path for path, name in written if name is not None and name[1] in names]
