"""Registry: the models, the champion, the training runs and the retrain requests.

Arrives: bundles and gate decisions from `training.lifecycle.run`, requests from `monitoring`. Leaves: rows of `models`,
`training_runs` and `retrain_requests`, a row of `promotions` for each change of the champion, and announcements on the
topic `models`. Next: `serving.publisher` follows them.

Every function gets a connection inside a transaction (`graphstore.session.write`, `read`), so a caller can combine
several calls in one transaction. A unique index allows only one champion, also when two processes write. An
announcement may be lost or repeated, so the table is the source of truth.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Literal, Protocol

from sqlalchemy import Connection, Row, func, insert, select, update

from graphstore.errors import UserError
from graphstore.tables import models, retrain_requests, snapshots, training_runs
from stream.events import MODELS, Event, ModelAnnouncement, utc
from training.lifecycle import promotions
from training.lifecycle.promotions import NOBODY, Change

Kind = Literal["closed_form", "graphsage", "incremental"]
"""The kind of a run: from scratch without or with GraphSAGE, or an update of the champion."""

CANDIDATE = "candidate"
CHAMPION = "champion"
KEPT = "kept"
RETIRED = "retired"

RUNNING = "running"
PROMOTED = "promoted"
FAILED = "failed"
POSTPONED = "postponed"
"""The status of a run that found too few events to judge a model on. A later run learns the same events."""

WAITING = "waiting"
"""The status of a retrain request without a run. Later: running, answered or dropped."""


@dataclass(frozen=True)
class ModelRow:
    """A row of `models`. Times are epoch ms."""

    model_version: str
    kind: str
    status: str
    parent: str | None
    snapshot_id: str
    bundle: str
    metrics: dict[str, float]
    gate: dict[str, Any]
    """The verdict, its reasons, and the evaluations of the models it was compared with."""
    seconds: float
    created_at: int
    promoted_at: int | None = None
    anchor: str | None = None
    """The last full model of its lineage, or None for a full model."""
    settings_hash: str | None = None
    code_version: str | None = None
    banned_at: int | None = None
    pruned_at: int | None = None


@dataclass(frozen=True)
class RunRow:
    """A row of `training_runs`. Times are epoch ms."""

    run_id: str
    kind: str
    trigger: str
    status: str
    snapshot_id: str | None
    model_version: str | None
    started_at: int
    finished_at: int | None = None
    error: str | None = None
    heartbeat_at: int | None = None
    owner: str | None = None


@dataclass(frozen=True)
class RetrainRequest:
    """A row of `retrain_requests`. Times are epoch ms."""

    request_key: int
    reason: str
    requested_by: str
    requested_at: int
    run_id: str | None = None
    full: bool = False
    figures: dict[str, Any] = field(default_factory=dict)
    status: str = WAITING
    outcome: str | None = None
    finished_at: int | None = None


class UnknownModel(UserError):
    """The registry has no model of that name."""


class NoChampion(UserError):
    """No model serves yet, or none served before."""


class BannedModel(UserError):
    """The model did harm, and only a person may promote it again."""


class PrunedModel(UserError):
    """The bundle of the model was deleted."""


class Sender(Protocol):
    """The part of `stream.kafka.producer.EventProducer` that `announce` needs."""

    def send(self, topic: str, event: Event, *, key: str) -> None: ...

    def flush(self, timeout_seconds: float = 30.0) -> None: ...


def register(connection: Connection, model: ModelRow) -> None:
    """Insert a model, made by this version of Sagestream unless the row names another one.

    Raises `IntegrityError` when the version exists already.
    """
    connection.execute(
        insert(models).values(
            model_version=model.model_version,
            kind=model.kind,
            status=model.status,
            parent_version=model.parent,
            snapshot_id=model.snapshot_id,
            bundle=model.bundle,
            metrics=json.dumps(model.metrics),
            gate=json.dumps(model.gate),
            seconds=model.seconds,
            created_at=model.created_at,
            promoted_at=model.promoted_at,
            anchor_version=model.anchor,
            settings_hash=model.settings_hash,
            code_version=model.code_version or version("sagestream"),
        )
    )


def champion(connection: Connection) -> ModelRow | None:
    """Return the serving model, or None before the first promotion."""
    row = connection.execute(select(models).where(models.c.status == CHAMPION)).one_or_none()
    return None if row is None else _model(row)


def get_model(connection: Connection, model_version: str) -> ModelRow:
    """Return the model. Raises `UnknownModel` for an unknown version."""
    row = connection.execute(select(models).where(models.c.model_version == model_version)).one_or_none()
    if row is None:
        raise UnknownModel(f"no model {model_version} in the registry: `sagestream models list` names all")
    return _model(row)


def list_models(connection: Connection) -> list[ModelRow]:
    """Return all models, oldest first."""
    rows = connection.execute(select(models).order_by(models.c.created_at, models.c.model_version))
    return [_model(row) for row in rows]


def promote(
    connection: Connection, model_version: str, *, now: int, change: Change = NOBODY, banned_too: bool = False
) -> ModelRow:
    """Make the model the champion and retire the old champion, in the caller's transaction. Return the model.

    The change is recorded in `promotions`. For the champion itself nothing changes. `banned_too` is for a person who
    knows that the model did harm.

    Raises:
        UnknownModel: The registry does not know the version.
        BannedModel: The model is banned, and `banned_too` is false.
        PrunedModel: Its bundle was deleted.
    """
    return _switch(connection, model_version, promotions.PROMOTE, change, now=now, banned_too=banned_too)


def _switch(
    connection: Connection,
    model_version: str,
    action: Literal["promote", "rollback"],
    change: Change,
    *,
    now: int,
    banned_too: bool = False,
) -> ModelRow:
    model = get_model(connection, model_version)
    if model.status == CHAMPION:
        return model
    if model.pruned_at is not None:
        raise PrunedModel(f"the bundle of {model_version} was deleted at {utc(model.pruned_at):%Y-%m-%d %H:%M}")
    if model.banned_at is not None and not banned_too:
        raise BannedModel(
            f"{model_version} is banned since {utc(model.banned_at):%Y-%m-%d %H:%M}, because it did harm: "
            "`sagestream models promote --force` promotes it all the same"
        )
    current = champion(connection)
    connection.execute(update(models).where(models.c.status == CHAMPION).values(status=RETIRED))
    whole = (models.c.model_version == model_version) & models.c.pruned_at.is_(None)
    if not connection.execute(update(models).where(whole).values(status=CHAMPION, promoted_at=now)).rowcount:
        raise PrunedModel(f"the bundle of {model_version} has just been deleted")
    previous = None if current is None else current.model_version
    promotions.record(connection, action, model_version, previous, change, now=now)
    return get_model(connection, model_version)


def keep(connection: Connection, model_version: str) -> ModelRow:
    """Record that the challenger failed the gate. Raises `UnknownModel`, or `ValueError` for the champion."""
    if get_model(connection, model_version).status == CHAMPION:
        raise ValueError(f"{model_version} is the champion")
    connection.execute(update(models).where(models.c.model_version == model_version).values(status=KEPT))
    return get_model(connection, model_version)


def rollback(connection: Connection, *, now: int, change: Change = NOBODY) -> ModelRow:
    """Go back to the champion before this one, and return the new champion.

    It is never a model that is banned or pruned, or that an earlier rollback left: see `promotions.way_back`. Raises
    `NoChampion` when there is no such model.
    """
    current = champion(connection)
    if current is None:
        raise NoChampion("there is no champion: `sagestream train` makes the first")
    earlier = promotions.way_back(connection, current.model_version)
    if not earlier:
        raise NoChampion(
            f"no champion before {current.model_version} can serve again: nothing to go back to; "
            "`sagestream models promote` takes any model"
        )
    return _switch(connection, earlier[0], promotions.ROLLBACK, change, now=now)


def ban(connection: Connection, model_version: str, *, now: int) -> None:
    """Record that the model did harm, so that neither a run nor a rollback promotes it again."""
    first = models.c.banned_at.is_(None)
    connection.execute(update(models).where(models.c.model_version == model_version, first).values(banned_at=now))


def model_of(run_id: str) -> str:
    """Return the version of the model that a run makes."""
    return f"m{run_id.removeprefix('r')}"


def next_run_id(connection: Connection, *, now: int) -> str:
    """Return a run id that is readable, sortable by time, and unique through the number of earlier runs."""
    return f"r{now:013d}-{connection.scalar(select(func.count()).select_from(training_runs)) or 0}"


def start_run(
    connection: Connection, run_id: str, *, kind: str, trigger: str, now: int, owner: str | None = None
) -> RunRow:
    """Insert a run as running, or return the existing run with this id.

    `owner` names the process that trains. The start counts as its first heartbeat (`training.lifecycle.heartbeat`).
    """
    known = get_run(connection, run_id)
    if known is not None:
        return known
    values = {"run_id": run_id, "kind": kind, "trigger": trigger, "status": RUNNING, "started_at": now}
    connection.execute(insert(training_runs).values(**values, heartbeat_at=now, owner=owner))
    return RunRow(run_id, kind, trigger, RUNNING, None, None, now, heartbeat_at=now, owner=owner)


def get_run(connection: Connection, run_id: str) -> RunRow | None:
    row = connection.execute(select(training_runs).where(training_runs.c.run_id == run_id)).one_or_none()
    return None if row is None else _run(row)


def list_runs(connection: Connection, *, newest: int) -> list[RunRow]:
    """Return the newest runs, newest first."""
    query = select(training_runs).order_by(training_runs.c.started_at.desc(), training_runs.c.run_id.desc())
    return [_run(row) for row in connection.execute(query.limit(newest))]


def newest_runs_of(connection: Connection, kind: str, *, newest: int) -> list[RunRow]:
    """Return the newest ended runs of a kind, newest first."""
    ended = select(training_runs).where(training_runs.c.kind == kind, training_runs.c.status != RUNNING)
    order = (training_runs.c.started_at.desc(), training_runs.c.run_id.desc())
    return [_run(row) for row in connection.execute(ended.order_by(*order).limit(newest))]


def last_start(connection: Connection, *kinds: Kind) -> int | None:
    """Return when the newest run of these kinds began (epoch ms), without failed and postponed runs. None: no run.

    It reads the whole table, so that no number of other runs hides one.
    """
    ran = training_runs.c.status.not_in((FAILED, POSTPONED))
    newest = select(func.max(training_runs.c.started_at)).where(ran, training_runs.c.kind.in_(kinds))
    found = connection.scalar(newest)
    return None if found is None else int(found)


def finish_run(
    connection: Connection,
    run_id: str,
    *,
    status: str,
    now: int,
    snapshot_id: str | None = None,
    model_version: str | None = None,
    error: str | None = None,
) -> bool:
    """Close a running run. Return False when it does not run, for example after it was declared dead."""
    values = {"snapshot_id": snapshot_id, "model_version": model_version, "error": error}
    done = connection.execute(
        update(training_runs)
        .where(training_runs.c.run_id == run_id, training_runs.c.status == RUNNING)
        .values(status=status, finished_at=now, **{name: value for name, value in values.items() if value is not None})
    )
    return done.rowcount == 1


def request_retrain(
    connection: Connection,
    *,
    reason: str,
    requested_by: str,
    now: int,
    full: bool = False,
    figures: Mapping[str, Any] | None = None,
) -> int:
    """Ask for a retrain and return the key of the request. The scheduler sees it at its next tick.

    Args:
        connection: A connection in a transaction.
        reason: Why, in words.
        requested_by: Who asks, such as `monitoring` or a person.
        now: The time, epoch ms.
        full: Whether to train from scratch. Such a request needs no new event.
        figures: What was measured.
    """
    values = {"reason": reason, "requested_by": requested_by, "requested_at": now, "full": full}
    done = connection.execute(insert(retrain_requests).values(**values, figures=json.dumps(dict(figures or {}))))
    (key,) = done.inserted_primary_key or (0,)
    return int(key)


def last_seen_interaction(connection: Connection) -> int:
    """Return the last interaction row that a finished run has read, 0 before the first run."""
    query = (
        select(func.max(snapshots.c.last_interaction_key))
        .join(training_runs, training_runs.c.snapshot_id == snapshots.c.snapshot_id)
        .where(training_runs.c.status.in_((PROMOTED, KEPT)))
    )
    return int(connection.scalar(query) or 0)


def announce(producer: Sender, model: ModelRow, *, now: int) -> None:
    """Send a model's status to the topic `models`. Raises the producer's errors when the message does not arrive."""
    announcement = ModelAnnouncement(
        model_version=model.model_version, status=model.status, bundle=model.bundle, event_time=utc(now)
    )
    producer.send(MODELS, announcement, key=model.model_version)
    producer.flush()


def _model(row: Row[Any]) -> ModelRow:
    return ModelRow(
        model_version=row.model_version,
        kind=row.kind,
        status=row.status,
        parent=row.parent_version,
        snapshot_id=row.snapshot_id,
        bundle=row.bundle,
        metrics=json.loads(row.metrics),
        gate=json.loads(row.gate),
        seconds=row.seconds,
        created_at=row.created_at,
        promoted_at=row.promoted_at,
        anchor=row.anchor_version,
        settings_hash=row.settings_hash,
        code_version=row.code_version,
        banned_at=row.banned_at,
        pruned_at=row.pruned_at,
    )


def _run(row: Row[Any]) -> RunRow:
    return RunRow(**row._asdict())
