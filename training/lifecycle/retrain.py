"""Retrain: decides when to train and which kind of run, from the database alone.

Arrives: waiting requests, the new interactions, the champion, the earlier runs. Leaves: a new run that owns the
requests, or the reason why no run begins. Next: `training.lifecycle.scheduler` starts the run.

A trigger asks for a run: a request, enough new events, an interval, a nightly hour, a champion that is too old. A run
begins when its kind may run: not too early after failures of the same kind, and an update of the champion only when
enough shoppers have events that can judge it. Full runs and updates wait each by themselves, so a full run that fails
again and again does not stop the updates.

All state is in rows, not in a scheduler's memory.
"""

import logging
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from graphstore.retention import DAY_MS
from graphstore.snapshots.eventlog import seen_by
from graphstore.tables import HOUR_MS, interactions, snapshots
from training.config import TrainingConfig
from training.lifecycle import registry, requests
from training.lifecycle.heartbeat import SCHEDULER, owner_name
from training.lifecycle.registry import Kind, ModelRow, RunRow

logger = logging.getLogger(__name__)

FULL_KINDS: tuple[Kind, ...] = ("closed_form", "graphsage")
"""The kinds that train from scratch."""

MAX_BACKOFF_SECONDS = 3_600.0
"""The longest wait after failed updates. After failed full runs it is `retrain_full_seconds`, if that is longer."""
RECENT_RUNS = 20
MAX_TRIGGER_LENGTH = 500
MAX_JUDGING_EVENTS = 20_000
"""So many of the newest events are looked at to count the shoppers who can judge."""


@dataclass(frozen=True)
class Trigger:
    """A reason for a run. `full` asks for a training from scratch."""

    reason: str
    full: bool = False


@dataclass(frozen=True)
class Plan:
    """The run that is due, or why none is."""

    kind: Kind | None
    reason: str
    """The trigger of the run. Without a run, what the triggers wait for; empty when nothing asks for a run."""


NOTHING = Plan(None, "")


def plan(connection: Connection, config: TrainingConfig, *, now: int) -> Plan:
    """Return the run that is due now (epoch ms), or what it waits for.

    The first model is closed_form. A full run trains from scratch when somebody asks for it, at the nightly hour, for a
    champion that is too old, and at any other trigger when the last full run is at least `retrain_full_seconds` old.
    All other runs are incremental.
    """
    champion = registry.champion(connection)
    triggers = _triggers(connection, champion, config, now=now)
    if not triggers:
        return NOTHING
    waits = []
    for kind in _kinds(connection, champion, triggers, config, now=now):
        asked = [trigger.reason for trigger in triggers if kind in FULL_KINDS or not trigger.full]
        obstacle = _obstacle(connection, champion, kind, config, now=now)
        if obstacle is None:
            return Plan(kind, "; ".join(asked)[:MAX_TRIGGER_LENGTH])
        waits.append(f"{kind} ({'; '.join(asked)}): {obstacle}")
    return Plan(None, "; ".join(waits))


def enter(connection: Connection, kind: Kind, trigger: str, *, now: int) -> str:
    """Insert a run of the scheduler in this process, give it the waiting requests, and return its id."""
    run_id = registry.next_run_id(connection, now=now)
    registry.start_run(connection, run_id, kind=kind, trigger=trigger, now=now, owner=owner_name(SCHEDULER))
    requests.take_requests(connection, run_id, full=kind in FULL_KINDS)
    return run_id


def judging_users(connection: Connection, champion: ModelRow) -> int:
    """Return how many shoppers have events in the last third of the events since the champion.

    These are the events that an update is judged on (`training.data.dataset.incremental_split`). Late events do not
    count: they are older than the newest event that the champion has learned.
    """
    later = interactions.c.event_time >= _learned_until(connection, champion)
    new = int(connection.scalar(select(func.count()).select_from(interactions).where(later)) or 0)
    newest = (
        select(interactions.c.user_key)
        .where(later)
        .order_by(interactions.c.event_time.desc(), interactions.c.interaction_key.desc())
    )
    third = newest.limit(min(new // 3, MAX_JUDGING_EVENTS)).subquery()
    return int(connection.scalar(select(func.count(third.c.user_key.distinct()))) or 0)


def _learned_until(connection: Connection, champion: ModelRow) -> int:
    """Return the time (epoch ms) just after the newest event in the champion's snapshot, 0 for an unknown snapshot."""
    seen = seen_by(champion.snapshot_id)
    if seen is None:
        return 0
    known = select(interactions.c.event_time).where(seen.condition()).order_by(interactions.c.event_time.desc())
    newest = connection.scalar(known.limit(1))
    return 0 if newest is None else int(newest) + 1


def _triggers(connection: Connection, champion: ModelRow | None, config: TrainingConfig, *, now: int) -> list[Trigger]:
    seen = registry.last_seen_interaction(connection)
    new = int(connection.scalar(select(func.count()).where(interactions.c.interaction_key > seen)) or 0)
    found = [
        Trigger(f"{request.requested_by}: {request.reason}", request.full)
        for request in requests.waiting_requests(connection)
        if new or (request.full and champion is not None)
    ]
    if not new:
        return found
    if new >= config.retrain_min_events and all(trigger.full for trigger in found):
        found.append(Trigger(f"{new} new events"))
    if config.retrain_interval_seconds is not None:
        last = registry.last_start(connection, *FULL_KINDS, "incremental")
        if last is None or now - last >= config.retrain_interval_seconds * 1000:
            found.append(Trigger(f"{config.retrain_interval_seconds:g} s since the last run"))
    if champion is not None:
        found += _full_triggers(connection, champion, config, now=now)
    return found


def _full_triggers(connection: Connection, champion: ModelRow, config: TrainingConfig, *, now: int) -> list[Trigger]:
    """Return the nightly hour and the age of the champion. Neither asks again soon after a full run."""
    last = _last_full(connection)
    found = []
    if config.retrain_hour is not None and _hour_has_come(last, config, config.retrain_hour, now=now):
        found.append(Trigger(f"it is {config.retrain_hour}:00 UTC", full=True))
    age = now - data_time(connection, champion)
    rested = last is None or now - last >= config.retrain_full_seconds * 1000
    if rested and age >= config.champion_max_age_seconds * 1000:
        found.append(Trigger(f"the champion is {age / DAY_MS:.1f} days old", full=True))
    return found


def _hour_has_come(last: int | None, config: TrainingConfig, hour: int, *, now: int) -> bool:
    """Return whether the nightly hour (UTC) has passed since the last full run, which is old enough.

    Half a day is allowed below `retrain_full_seconds`, so that a run that began late does not move the next night's.
    """
    passed = (now - hour * HOUR_MS) // DAY_MS * DAY_MS + hour * HOUR_MS
    return last is None or (last < passed and now - last >= config.retrain_full_seconds * 1000 - DAY_MS // 2)


def data_time(connection: Connection, champion: ModelRow) -> int:
    """Return when the champion's events were read (epoch ms)."""
    as_of = connection.scalar(select(snapshots.c.as_of).where(snapshots.c.snapshot_id == champion.snapshot_id))
    return champion.created_at if as_of is None else min(int(as_of), champion.created_at)


def _kinds(
    connection: Connection,
    champion: ModelRow | None,
    triggers: list[Trigger],
    config: TrainingConfig,
    *,
    now: int,
) -> list[Kind]:
    """Return the kinds that answer the triggers, the best first."""
    if champion is None:
        return ["closed_form"]
    last = _last_full(connection)
    old = last is None or now - last >= config.retrain_full_seconds * 1000
    if last is not None and config.retrain_hour is not None:
        old = False  # full runs wait for their hour
    full = old or any(trigger.full for trigger in triggers)
    kinds: list[Kind] = [_full_kind(connection, champion)] if full else []
    return kinds if all(trigger.full for trigger in triggers) else [*kinds, "incremental"]


def _last_full(connection: Connection) -> int | None:
    """Return when the newest full run began (epoch ms). None before the first GraphSAGE, the first challenger."""
    if registry.last_start(connection, "graphsage") is None:
        return None
    return registry.last_start(connection, *FULL_KINDS)


def _full_kind(connection: Connection, champion: ModelRow) -> Kind:
    """Return the kind of the next full run: GraphSAGE, in turn with closed_form while that serves.

    Another kind of model must be shown to be better, which may take long or never happen. Without a turn of its own,
    the kind that serves would be updated for ever and never be fitted again.
    """
    last, last_closed = (registry.last_start(connection, kind) for kind in ("graphsage", "closed_form"))
    serving = registry.get_model(connection, champion.anchor) if champion.anchor else champion
    if serving.kind == "graphsage" or last is None or last < (last_closed or 0):
        return "graphsage"
    return "closed_form"


def _obstacle(
    connection: Connection, champion: ModelRow | None, kind: Kind, config: TrainingConfig, *, now: int
) -> str | None:
    """Return why a run of this kind may not begin now, or None."""
    until = _backoff_until(registry.newest_runs_of(connection, kind, newest=RECENT_RUNS), kind, config)
    if now < until:
        return f"tried again in {(until - now) / 1000:.0f} s"
    if kind == "incremental" and champion is not None:
        users = judging_users(connection, champion)
        if users < config.gate_min_users:
            return f"{users} of {config.gate_min_users} shoppers can judge it"
    return None


def _backoff_until(runs: list[RunRow], kind: Kind, config: TrainingConfig) -> int:
    """Return until when (epoch ms) a kind waits after the failures of its newest runs, newest first.

    The wait doubles with each failure in a row. It begins with one tick, so a killed run goes on soon. From the second
    failure on it counts in durations of the run: a full run that fails after an hour must not fill every second hour.
    """
    failed = (registry.FAILED, registry.POSTPONED)
    count = next((number for number, run in enumerate(runs) if run.status not in failed), len(runs))
    if not count:
        return 0
    ended = runs[0].finished_at or runs[0].started_at
    first = config.scheduler_tick_seconds
    if count > 1:
        first = max(first, (ended - runs[0].started_at) / 1000)
    return ended + int(min(first * 2.0**count, longest_backoff_seconds(kind, config)) * 1000)


def longest_backoff_seconds(kind: str, config: TrainingConfig) -> float:
    """Return the longest wait after failed runs of a kind."""
    return max(MAX_BACKOFF_SECONDS, config.retrain_full_seconds if kind == "graphsage" else 0.0)
