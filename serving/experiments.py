"""Experiments: the record of running and ended experiments.

Arrives: the arms that a person chose, through the verb `experiments start`. Leaves: rows of `experiments`. Next: the
publisher makes the splits of `serving.routing` from the running ones, `monitoring.experiments` reports.

Each arm is a share of the shoppers with a model, or with settings of exploration, or both. The first arm is the control
that the others are compared with. A stopped experiment keeps its name, because impressions name it for ever.
"""

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from graphstore.errors import UserError
from graphstore.tables import experiments, models
from serving.routing import CHAMPION_VARIANT, PREVIOUS_VARIANT, PROBATION, Arm, Split

RUNNING = "running"
STOPPED = "stopped"

RESERVED = frozenset({PROBATION, CHAMPION_VARIANT, PREVIOUS_VARIANT})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
ROUNDING = 1e-9
"""Shares such as 0.1 + 0.2 + 0.7 sum to 1 only almost."""


class UnknownExperiment(UserError):
    """The table has no experiment of that name."""


class RefusedExperiment(UserError):
    """The experiment cannot run. The message says what to change."""


@dataclass(frozen=True)
class Experiment:
    """A row of `experiments`. Times are epoch ms."""

    name: str
    slot: str | None
    """The only slot of the experiment, or None for all slots."""
    salt: str
    arms: tuple[Arm, ...]
    who: str
    why: str
    started_at: int
    status: str = RUNNING
    stopped_at: int | None = None
    outcome: dict[str, Any] = field(default_factory=dict)
    """The report at the stop."""

    def split(self) -> Split:
        """Return the division of the shoppers."""
        return Split(self.name, self.salt, self.arms, self.slot)

    def variants(self) -> list[str]:
        """Return the names of the arms in impressions, in order."""
        return [f"{self.name}/{arm.name}" for arm in self.arms]


def start(connection: Connection, experiment: Experiment) -> Experiment:
    """Insert a running experiment and return it. Raises `RefusedExperiment`."""
    check_arms(experiment)
    if connection.scalar(select(experiments.c.name).where(experiments.c.name == experiment.name)) is not None:
        raise RefusedExperiment(f"there is an experiment {experiment.name} already: choose another name")
    for arm in experiment.arms:
        if arm.model_version is not None:
            _check_model(connection, arm.model_version)
    earlier = [one for one in running(connection) if None in (one.slot, experiment.slot) or one.slot == experiment.slot]
    for one in earlier:
        if sum(arm.share for arm in one.arms) > 1 - ROUNDING:
            raise RefusedExperiment(f"{one.name} has all shoppers: stop it first, or run this one in another slot")
    connection.execute(
        insert(experiments).values(
            name=experiment.name,
            slot=experiment.slot,
            salt=experiment.salt,
            arms=msgspec.json.encode(experiment.arms).decode(),
            status=RUNNING,
            who=experiment.who,
            why=experiment.why,
            started_at=experiment.started_at,
            outcome=json.dumps(experiment.outcome),
        )
    )
    return experiment


def check_arms(experiment: Experiment) -> None:
    """Raise `RefusedExperiment` for names or shares that cannot be routed."""
    for name in (experiment.name, *(arm.name for arm in experiment.arms)):
        if not _NAME.fullmatch(name):
            raise RefusedExperiment(f"{name!r} is no name: 1 to 64 letters, digits, dots, hyphens or underscores")
    if experiment.name in RESERVED:
        raise RefusedExperiment(f"the name {experiment.name} is reserved: choose another one")
    if len(experiment.arms) < 2:
        raise RefusedExperiment("an experiment needs two arms or more, the first one is the control")
    if len({arm.name for arm in experiment.arms}) < len(experiment.arms):
        raise RefusedExperiment("two arms have the same name")
    for arm in experiment.arms:
        if not 0 < arm.share <= 1:
            raise RefusedExperiment(f"the share of {arm.name} is {arm.share:g}, not between 0 and 1")
    total = sum(arm.share for arm in experiment.arms)
    if total > 1 + ROUNDING:
        raise RefusedExperiment(f"the shares sum to {total:g}, more than 1")


def get(connection: Connection, name: str) -> Experiment:
    """Return the experiment. Raises `UnknownExperiment`."""
    row = connection.execute(select(experiments).where(experiments.c.name == name)).one_or_none()
    if row is None:
        raise UnknownExperiment(f"no experiment {name!r}: `sagestream experiments list` names all")
    return _experiment(row)


def list_experiments(connection: Connection) -> list[Experiment]:
    """Return all experiments, oldest first."""
    rows = connection.execute(select(experiments).order_by(experiments.c.started_at, experiments.c.name))
    return [_experiment(row) for row in rows]


def running(connection: Connection) -> list[Experiment]:
    """Return the running experiments, oldest first: in this order they take their shoppers."""
    return [one for one in list_experiments(connection) if one.status == RUNNING]


def stop(connection: Connection, name: str, *, now: int, outcome: dict[str, Any]) -> Experiment:
    """End the experiment and keep its outcome. Return it. Raises `UnknownExperiment`, `RefusedExperiment`."""
    known = get(connection, name)
    if known.status != RUNNING:
        raise RefusedExperiment(f"{name} was stopped before")
    connection.execute(
        update(experiments)
        .where(experiments.c.name == name)
        .values(status=STOPPED, stopped_at=now, outcome=json.dumps(outcome))
    )
    return replace(known, status=STOPPED, stopped_at=now, outcome=outcome)


def _check_model(connection: Connection, version: str) -> None:
    row = connection.execute(select(models).where(models.c.model_version == version)).one_or_none()
    if row is None:
        raise RefusedExperiment(f"no model {version} in the registry: `sagestream models list` names all")
    if row.banned_at is not None:
        raise RefusedExperiment(f"model {version} did harm and is banned")
    if row.pruned_at is not None:
        raise RefusedExperiment(f"the bundle of model {version} was deleted")


def _experiment(row: Row[Any]) -> Experiment:
    return Experiment(
        name=row.name,
        slot=row.slot,
        salt=row.salt,
        arms=tuple(msgspec.json.decode(row.arms, type=list[Arm])),
        who=row.who,
        why=row.why,
        started_at=row.started_at,
        status=row.status,
        stopped_at=row.stopped_at,
        outcome=json.loads(row.outcome),
    )
