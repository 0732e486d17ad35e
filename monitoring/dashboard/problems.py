"""Problems: what is wrong now, worst first.

Arrives: alarms, runs, the champion, stored figures, the surroundings. Leaves: sentences, each with its number. Next:
the page `overview` shows them above everything else.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, func, select

from graphstore.tables import alarms, interactions, models, promotions, training_runs
from monitoring.dashboard.drift import read_reports
from monitoring.dashboard.surroundings import Surroundings
from monitoring.dashboard.wording import age, moment, short
from monitoring.experiments import Report
from training.lifecycle.promotions import HARM
from training.lifecycle.registry import CHAMPION, FAILED, RUNNING

TEXT_CHARACTERS = 300
RECENT_MS = 86_400_000
"""A rollback, a drift or new dead letters of the last day are still told."""
FAILED_RUNS = 3
"""So many failed runs in a row are told."""
LAG_MESSAGES = 10_000
QUIET_MS = 30 * 60_000
"""No event was stored for this time."""
SEVERAL = 2
"""More processes that are away share one line."""
STALE_LOOK_MS = 5 * 60_000


def find_problems(
    connection: Connection, surroundings: Surroundings, reports: Sequence[Report], *, now: int
) -> list[str]:
    """Return what is wrong at `now` (epoch ms). Empty: nothing that the monitor knows of."""
    return [
        *_alarms(connection),
        *_processes(surroundings, now),
        *_kafka(surroundings, now),
        *_models(connection, now),
        *_traffic(connection, now),
        *_experiments(reports),
    ]


def _alarms(connection: Connection) -> Iterator[str]:
    query = select(alarms.c.name, alarms.c.started_at, alarms.c.text).where(alarms.c.ended_at.is_(None))
    for name, started_at, said in connection.execute(query.order_by(alarms.c.started_at)):
        yield f"Alarm {name} since {moment(started_at)} UTC: {short(said, TEXT_CHARACTERS)}"


def _processes(surroundings: Surroundings, now: int) -> Iterator[str]:
    away = [process for process in surroundings.processes if process.state == "away"]
    if len(away) > SEVERAL:
        named = ", ".join(f"{process.process} ({process.address})" for process in away)
        yield f"{len(away)} processes are away: {named}"
    else:
        yield from (f"{one.process} ({one.address}) is away: {short(one.said, TEXT_CHARACTERS)}" for one in away)
    for process in surroundings.processes:
        if process.state == "not ready":
            yield f"{process.process} ({process.address}) is not ready: {short(process.said, TEXT_CHARACTERS)}"
    if surroundings.looked_at is not None and now - surroundings.looked_at > STALE_LOOK_MS:
        yield f"The processes were last asked {age(now - surroundings.looked_at)} ago."


def _kafka(surroundings: Surroundings, now: int) -> Iterator[str]:
    if surroundings.kafka_problem:
        yield f"Kafka told no lag: {short(surroundings.kafka_problem, TEXT_CHARACTERS)}"
    behind = sum(lag.behind for lag in surroundings.lags)
    if behind > LAG_MESSAGES:
        yield f"{behind:,} messages are not in the graph yet."
    for lag in surroundings.lags:
        if lag.remark:
            yield f"Topic {lag.topic}, partition {lag.partition}: {lag.remark}"
    fresh = surroundings.dead_letters.since(now - RECENT_MS)
    if fresh:
        yield f"Dead letters that wait, of kinds that came in the last day: {fresh:,}. See operations."


def _models(connection: Connection, now: int) -> Iterator[str]:
    known = connection.scalar(select(models.c.model_version).limit(1))
    champion = connection.scalar(select(models.c.model_version).where(models.c.status == CHAMPION))
    if known is not None and champion is None:
        yield "No model serves, although the registry has some: popular items are shown."
    table = training_runs.c
    newest = select(table.status, table.error).where(table.status != RUNNING).order_by(table.run_id.desc())
    runs = connection.execute(newest.limit(FAILED_RUNS)).all()
    if len(runs) == FAILED_RUNS and all(status == FAILED for status, _ in runs):
        newest_error = short(runs[0][1] or "", TEXT_CHARACTERS)
        yield f"The last {FAILED_RUNS} training runs failed, the newest with: {newest_error}"
    harm = select(promotions.c.to_version, promotions.c.ended_at).order_by(promotions.c.promotion_key.desc()).limit(20)
    for version, ended_at in connection.execute(harm.where(promotions.c.outcome == HARM)):
        if ended_at is not None and now - ended_at < RECENT_MS:
            yield f"{version} did harm and was taken back at {moment(ended_at)} UTC."


def _traffic(connection: Connection, now: int) -> Iterator[str]:
    newest = connection.scalar(select(func.max(interactions.c.interaction_key)))
    if newest is not None:
        stored = connection.scalar(select(interactions.c.ingest_time).where(interactions.c.interaction_key == newest))
        if stored is not None and now - stored > QUIET_MS:
            yield f"No event was stored for {age(now - stored)}."
    for span, detail in read_reports(connection, newest=1):
        if detail.get("verdict") == "drift" and now - span.end < RECENT_MS:
            yield f"Traffic has drifted: {short(str(detail.get('reason', '')), TEXT_CHARACTERS)}"


def _experiments(reports: Sequence[Report]) -> Iterator[str]:
    for report in reports:
        if report.sample_ratio_fault:
            p = f"p = {report.sample_ratio_p:.2g}"
            yield f"Experiment {report.name}: its shoppers do not divide as the shares say ({p})."
