"""Conditions: what is wrong now, besides a tracking outage, as far as the tables tell.

Arrives: the rows of promotions, runs and experiments. Leaves: for each name what is wrong, or None. Next:
`monitoring.alarms.lasting` starts and ends the alarms.

Not here: dead letters and the lag of the worker. They are counted where Kafka is read, and the monitor does not read
it: Prometheus has them.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from graphstore.retention import DAY_MS
from graphstore.tables import interactions, training_runs
from monitoring.alarms.lasting import Found
from training.lifecycle import registry
from training.lifecycle.promotions import HARM, ROLLBACK, list_promotions

TRACKING_OUTAGE = "tracking_outage"
"""Found by `monitoring.triggers.tracking_watch`, from the traffic."""
DATABASE_AWAY = "database_away"
PROBATION_HARM = "probation_harm"
SAMPLE_RATIO = "sample_ratio"
TRAINING_FAILS = "training_fails"
TRAINING_STANDS = "training_stands"

ALARMS = (TRACKING_OUTAGE, DATABASE_AWAY, PROBATION_HARM, SAMPLE_RATIO, TRAINING_FAILS, TRAINING_STANDS)
"""The names of all alarms."""

FAILED_RUNS = 3
"""So many runs in a row have failed before it is an alarm: the first ones are tried again."""
STANDS_MS = 7 * DAY_MS
"""No run has ended well for so long, while events come in. A full run comes once a day unless the settings say else."""
EVENTS_MS = DAY_MS
"""Events of this time show that events come in."""
BY_PROBATION = "probation"
"""The author of a rollback, as `monitoring.probation` names itself."""


def conditions(connection: Connection, *, now: int) -> dict[str, Found | None]:
    """Return what is wrong with models and runs at `now` (epoch ms), by the name of the alarm."""
    return {
        PROBATION_HARM: _harm(connection),
        TRAINING_FAILS: _failing(connection),
        TRAINING_STANDS: _standing(connection, now=now),
    }


def sample_ratio(p_values: Mapping[str, float]) -> Found | None:
    """Return what is wrong with the experiments whose shoppers divide wrongly, from their p-values by name."""
    if not p_values:
        return None
    named = ", ".join(f"{name} (p = {p:.2g})" for name, p in sorted(p_values.items()))
    return Found(f"shoppers do not divide as the shares say in {named}", {"p_values": dict(p_values)})


def _harm(connection: Connection) -> Found | None:
    """The champion was taken back, or should have been. It is over when somebody promotes again."""
    for change in list_promotions(connection, newest=2):
        if change.outcome == HARM:
            words = change.detail.get("words", "")
            return Found(f"{change.to_version} did harm: {words}", {"model_version": change.to_version})
        if change.action != ROLLBACK or change.who != BY_PROBATION:
            break
    return None


def _failing(connection: Connection) -> Found | None:
    newest = connection.execute(
        select(training_runs.c.run_id, training_runs.c.status, training_runs.c.error)
        .where(training_runs.c.status.not_in((registry.RUNNING, registry.POSTPONED)))
        .order_by(training_runs.c.started_at.desc())
        .limit(FAILED_RUNS)
    ).all()
    if len(newest) < FAILED_RUNS or any(run.status != registry.FAILED for run in newest):
        return None
    return Found(
        f"the last {FAILED_RUNS} training runs have failed, the newest with: {newest[0].error}",
        {"run_id": newest[0].run_id},
    )


def _standing(connection: Connection, *, now: int) -> Found | None:
    made = training_runs.c.status.in_((registry.PROMOTED, registry.KEPT))
    ended = connection.scalar(select(func.max(training_runs.c.finished_at)).where(made))
    newest = connection.scalar(select(func.max(interactions.c.event_time)))
    if ended is None or now - ended < STANDS_MS or newest is None or now - newest > EVENTS_MS:
        return None
    days = (now - ended) // DAY_MS
    return Found(f"no training has ended well for {days} days, while events come in", {"last_success": ended})
